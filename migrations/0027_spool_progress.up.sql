-- How far a spool is replayed, so that a restart in the middle of a replay repeats nothing and
-- counts nothing twice.
--
-- Rollback: 0027_spool_progress.down.sql

ALTER TABLE ingest_ledger ADD COLUMN spool_progress JSONB;

COMMENT ON COLUMN ingest_ledger.spool_progress IS
  'How far the daemon has replayed its spool, for the daemon that opens the spool next: the place that everything before is settled, and the exceptions; NULL: another row has it, or the row has no spool';
