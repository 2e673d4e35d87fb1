-- Whether the error of a run that a failed part makes failed is that part's. Told by
-- the text alone, an end's own error of the same words was lost with the part's.
--
-- The column only adds, may be NULL, and is the daemon's own: nothing for readers.
-- Daemons of older versions do not know it: none may write any more.
--
-- Rollback: 0018_error_observed.down.sql

ALTER TABLE agent_runs ADD COLUMN error_observed BOOLEAN;

COMMENT ON COLUMN agent_runs.error_observed IS
  'Merge state: true where error is that of observed, and not the end''s own; else NULL';
