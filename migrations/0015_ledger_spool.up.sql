-- Which spool the events are in that a daemon's ledger counts as spooled, so that
-- the daemon that opens the same spool next takes them over: they leave the old
-- row and enter its own, and every event is counted once over all daemons.
--
-- Rollback: 0015_ledger_spool.down.sql

ALTER TABLE ingest_ledger ADD COLUMN spool UUID;

COMMENT ON COLUMN ingest_ledger.spool IS
  'The spool that this row''s spooled events are in; NULL: the row is that of a writer, which hands what it spools to the daemon''s one row with a spool';
COMMENT ON COLUMN ingest_ledger.received IS
  'Events taken from a client, whatever became of them; in the row with a spool, those that were spooled or found in the spool at the start';
COMMENT ON COLUMN ingest_ledger.spooled IS 'Events that are in the disk spool now, to be committed later';
