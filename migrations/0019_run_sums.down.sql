-- Undoes 0019_run_sums: what is below a run is read again when it ends.

ALTER TABLE agent_runs DROP COLUMN IF EXISTS summed_by;
