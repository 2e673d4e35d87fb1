-- Undoes 0005_trace_columns: drops the token ledger and the added columns with
-- their data; their indexes go with them. Steps of type `other`, which the
-- seed's check does not know, keep their rows and lose their type.

ALTER TABLE approvals
  DROP COLUMN IF EXISTS requested_event_at,
  DROP COLUMN IF EXISTS metadata,
  DROP COLUMN IF EXISTS step_id,
  DROP COLUMN IF EXISTS run_id;
DROP INDEX IF EXISTS idx_approvals_expires;
COMMENT ON COLUMN approvals.created_at IS NULL;

DROP TABLE IF EXISTS agent_token_counts;

ALTER TABLE agent_messages
  DROP COLUMN IF EXISTS seq,
  DROP COLUMN IF EXISTS step_id,
  DROP COLUMN IF EXISTS run_id;
COMMENT ON COLUMN agent_messages.created_at IS NULL;

DROP INDEX IF EXISTS idx_agent_steps_open;
UPDATE agent_steps SET step_type = NULL WHERE step_type = 'other';
ALTER TABLE agent_steps
  DROP CONSTRAINT agent_steps_step_type_check,
  ADD CONSTRAINT agent_steps_step_type_check
    CHECK (step_type IN ('thinking', 'tool_call', 'tool_result', 'llm_call', 'handoff')),
  DROP COLUMN IF EXISTS details_at,
  DROP COLUMN IF EXISTS details_rank,
  DROP COLUMN IF EXISTS duration_reported,
  DROP COLUMN IF EXISTS closed_with_run,
  DROP COLUMN IF EXISTS metadata,
  DROP COLUMN IF EXISTS ended_at,
  DROP COLUMN IF EXISTS started_at,
  DROP COLUMN IF EXISTS model,
  DROP COLUMN IF EXISTS error,
  DROP COLUMN IF EXISTS status,
  DROP COLUMN IF EXISTS kind,
  DROP COLUMN IF EXISTS parent_step_id;
COMMENT ON COLUMN agent_steps.created_at IS NULL;
COMMENT ON COLUMN agent_steps.duration_ms IS NULL;

DROP INDEX IF EXISTS idx_agent_runs_started;
DROP INDEX IF EXISTS idx_agent_runs_abandon;
ALTER TABLE agent_runs RESET (fillfactor);
ALTER TABLE agent_runs
  DROP COLUMN IF EXISTS abandon_at,
  DROP COLUMN IF EXISTS alive_at,
  DROP COLUMN IF EXISTS start_event_at,
  DROP COLUMN IF EXISTS timeout_ms,
  DROP COLUMN IF EXISTS reported_tokens_output,
  DROP COLUMN IF EXISTS reported_tokens_input,
  DROP COLUMN IF EXISTS finalized_by,
  DROP COLUMN IF EXISTS last_event_at,
  DROP COLUMN IF EXISTS duration_ms,
  DROP COLUMN IF EXISTS end_metadata,
  DROP COLUMN IF EXISTS error,
  DROP COLUMN IF EXISTS name,
  DROP COLUMN IF EXISTS parent_run_id;

ALTER TABLE agent_sessions
  DROP COLUMN IF EXISTS merge_times,
  DROP COLUMN IF EXISTS metadata,
  DROP COLUMN IF EXISTS external_id;
