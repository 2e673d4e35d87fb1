-- Undoes 0015_ledger_spool: the next daemon no longer knows whose events its spool
-- holds and counts them as received once more.

COMMENT ON COLUMN ingest_ledger.spooled IS 'Events in the disk spool, to be committed later';
COMMENT ON COLUMN ingest_ledger.received IS 'Events taken from a client, whatever became of them';
ALTER TABLE ingest_ledger DROP COLUMN IF EXISTS spool;
