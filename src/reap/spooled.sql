-- Events that wait in spools: of daemons that may run, and of daemons that have not written their counts for two days, though
-- they do so once a day.
SELECT coalesce(sum(spooled) FILTER (WHERE updated_at >= now() - interval '2 days'), 0)::bigint AS spooled,
       coalesce(sum(spooled) FILTER (WHERE updated_at < now() - interval '2 days'), 0)::bigint AS left_behind
FROM ingest_ledger
WHERE spooled > 0
