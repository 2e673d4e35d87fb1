-- Writes the counts of a spool and how far it is replayed, in the transaction that they describe.
-- They are absolute, so writing them again is harmless. Returns whether the row is new.
-- $1 instance, $2 shard, $3 received, $4 committed, $5 duplicate, $6 refused, $7 spooled,
-- $8 dead-lettered, $9 ignored, $10 the spool, $11 the progress.
INSERT INTO ingest_ledger
    (instance, shard, received, committed, duplicate, refused, spooled, dead_lettered, ignored, spool,
     spool_progress)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb)
ON CONFLICT ON CONSTRAINT ingest_ledger_pkey DO UPDATE
SET received = excluded.received, committed = excluded.committed, duplicate = excluded.duplicate,
    refused = excluded.refused, spooled = excluded.spooled, dead_lettered = excluded.dead_lettered,
    ignored = excluded.ignored, spool_progress = excluded.spool_progress, updated_at = excluded.updated_at
RETURNING xmax = 0 AS is_new
