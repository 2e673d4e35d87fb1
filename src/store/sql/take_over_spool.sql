-- Moves the events that earlier daemons left in this spool from their rows to the row of the
-- daemon that opened it, in the transaction that writes that row. It moves at most as many as
-- were found, so that a loss stays visible in the old rows.
-- $1 the spool, $2 this daemon's instance, $3 its shard, $4 events found.
WITH mine AS (
  UPDATE ingest_ledger SET spool = $1 WHERE instance = $2 AND shard = $3
)
UPDATE ingest_ledger
SET received = received - least(spooled, $4), spooled = spooled - least(spooled, $4), updated_at = now()
WHERE spool = $1 AND instance <> $2 AND spooled > 0
