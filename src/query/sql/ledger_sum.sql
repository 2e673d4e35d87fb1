-- Outcomes of all events that all daemons received so far.
SELECT
  count(*) AS daemons,
  coalesce(sum(received), 0)::bigint AS received,
  coalesce(sum(committed), 0)::bigint AS committed,
  coalesce(sum(duplicate), 0)::bigint AS duplicate,
  coalesce(sum(refused), 0)::bigint AS refused,
  coalesce(sum(spooled), 0)::bigint AS spooled,
  coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered,
  coalesce(sum(ignored), 0)::bigint AS ignored,
  coalesce(sum(in_flight), 0)::bigint AS in_flight,
  (SELECT count(*) FROM ingest_dead_letters WHERE replayed_at IS NULL) AS open_dead_letters
FROM ingest_reconciliation
