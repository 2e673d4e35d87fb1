-- Clears the mark of aliases whose runs the sweeper has looked at. $1 runs, which are locked.
UPDATE agent_step_aliases SET run_pending = NULL WHERE run_id = ANY ($1::uuid[]) AND run_pending
