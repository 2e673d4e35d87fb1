-- Writes the counts of one shard of one daemon, in the transaction that they count. They are
-- absolute, so writing them again is harmless.
-- $1 instance, $2 shard, $3 received, $4 committed, $5 duplicate, $6 refused, $7 spooled,
-- $8 dead-lettered, $9 ignored.
INSERT INTO ingest_ledger
    (instance, shard, received, committed, duplicate, refused, spooled, dead_lettered, ignored)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT ON CONSTRAINT ingest_ledger_pkey DO UPDATE
SET received = excluded.received, committed = excluded.committed, duplicate = excluded.duplicate,
    refused = excluded.refused, spooled = excluded.spooled, dead_lettered = excluded.dead_lettered,
    ignored = excluded.ignored, updated_at = excluded.updated_at
