-- Undoes 0018_error_observed: whose the error is is told by its text again.

ALTER TABLE agent_runs DROP COLUMN IF EXISTS error_observed;
