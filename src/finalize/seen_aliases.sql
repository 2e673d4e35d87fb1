-- Takes the mark from aliases whose runs were looked at. $1 runs, which are locked.
UPDATE agent_step_aliases SET run_pending = NULL WHERE run_id = ANY ($1::uuid[]) AND run_pending
