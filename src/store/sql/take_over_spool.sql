-- Takes over what earlier daemons left in a spool, in the transaction that first writes the row of
-- the daemon that opened it. The earlier daemons have ended, because a spool has one user at a time.
--
-- Spooled events leave the old rows, from the newest row on. At most as many as were found leave,
-- so that a loss stays visible. Events that an old daemon had in flight leave too: either they
-- are in the spool and count there, or they were never acknowledged and are sent again.
-- $1 the spool, $2 this daemon's instance, $3 events found.
WITH old AS (
  SELECT
    instance, shard, spooled,
    received - (committed + duplicate + refused + spooled + dead_lettered + ignored) AS in_flight,
    greatest($3 - coalesce(sum(spooled) FILTER (WHERE spool = $1) OVER (
      ORDER BY instance DESC, shard ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0), 0) AS found
  FROM ingest_ledger
  WHERE instance <> $2 AND instance IN (SELECT instance FROM ingest_ledger WHERE spool = $1)
),
leaving AS (
  SELECT instance, shard, in_flight, least(spooled, found)::bigint AS spooled
  FROM old
)
UPDATE ingest_ledger AS l
SET received = l.received - leaving.in_flight - leaving.spooled, spooled = l.spooled - leaving.spooled,
    spool_progress = NULL, updated_at = now()
FROM leaving
WHERE l.instance = leaving.instance AND l.shard = leaving.shard
  AND (leaving.in_flight <> 0 OR leaving.spooled <> 0 OR l.spool_progress IS NOT NULL)
