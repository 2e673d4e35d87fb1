-- Of runs that ended before 0018_error_observed the text alone tells whose the error
-- is. No daemon may have written since, for those tell the two apart where their words
-- are the same. Apart from it, for this reads the whole table, which adding a column locks.
--
-- Rollback: 0020_errors_of_parts.down.sql

UPDATE agent_runs
SET error_observed = true
WHERE status_observed AND error_observed IS NULL
  AND error = substr(observed #>> '{outcome,2}', 9) AND error <> '';
