-- Undoes 0027_spool_progress: a restart in the middle of a replay replays the files of the spool
-- from their beginning, which stores nothing twice and counts some events twice.

ALTER TABLE ingest_ledger DROP COLUMN IF EXISTS spool_progress;
