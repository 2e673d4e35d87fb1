-- How far earlier daemons have replayed a spool. The lock waits for a transaction of a daemon
-- that was killed while it committed.
-- $1 the spool, $2 this daemon's instance.
SELECT spool_progress::text
FROM ingest_ledger
WHERE spool = $1 AND instance <> $2 AND spool_progress IS NOT NULL
ORDER BY updated_at DESC
LIMIT 1
FOR UPDATE
