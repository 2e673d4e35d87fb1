-- Adds up the rows of daemons that ended long ago into one row, so that all totals stay as they are. A daemon writes its rows at
-- least once a day. Rows that count events in a spool stay: the daemon that opens the spool takes them over.
WITH old AS (
    DELETE FROM ingest_ledger
    WHERE instance IN (
        SELECT instance
        FROM ingest_ledger
        WHERE instance <> '00000000-0000-0000-0000-000000000000'
        GROUP BY instance
        HAVING max(updated_at) < now() - interval '90 days' AND sum(spooled) = 0
        ORDER BY instance
        LIMIT 100
    )
    RETURNING *
)
INSERT INTO ingest_ledger AS l (
    instance, shard, started_at, updated_at, received, committed, duplicate, refused, spooled, dead_lettered, ignored)
SELECT '00000000-0000-0000-0000-000000000000', 0, min(started_at), max(updated_at), sum(received), sum(committed),
       sum(duplicate), sum(refused), 0, sum(dead_lettered), sum(ignored)
FROM old
HAVING count(*) > 0
ON CONFLICT ON CONSTRAINT ingest_ledger_pkey DO UPDATE
SET started_at = least(l.started_at, excluded.started_at), updated_at = greatest(l.updated_at, excluded.updated_at),
    received = l.received + excluded.received, committed = l.committed + excluded.committed,
    duplicate = l.duplicate + excluded.duplicate, refused = l.refused + excluded.refused,
    dead_lettered = l.dead_lettered + excluded.dead_lettered, ignored = l.ignored + excluded.ignored
