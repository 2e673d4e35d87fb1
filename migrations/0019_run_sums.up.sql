-- Who knows the sums of what is below a run. A writer that has made a run, and has
-- written all that is below it, ends it with sums that it has kept, and need not
-- read the rows again. Whoever else writes rows below the run takes the mark away first.
--
-- The column only adds, may be NULL, and is the daemon's own: nothing for readers.
-- Daemons of older versions do not know it: none may write any more.
--
-- Rollback: 0019_run_sums.down.sql

ALTER TABLE agent_runs ADD COLUMN summed_by BIGINT;

COMMENT ON COLUMN agent_runs.summed_by IS
  'Merge state: the only writer that may know the sums of what is below the run; NULL: they are to be read';
