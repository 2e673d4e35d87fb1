-- What earlier daemons left in this spool is counted by the daemon that has opened
-- it: it leaves their rows, in the transaction that writes it to the new one. No more
-- leaves than was found, so that a loss stays visible.
-- $1 the spool, $2 this daemon's instance, $3 its shard, $4 events found.
WITH mine AS (
  UPDATE ingest_ledger SET spool = $1 WHERE instance = $2 AND shard = $3
)
UPDATE ingest_ledger
SET received = received - least(spooled, $4), spooled = spooled - least(spooled, $4), updated_at = now()
WHERE spool = $1 AND instance <> $2 AND spooled > 0
