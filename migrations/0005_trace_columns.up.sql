-- What tracing adds to the agent tables, and the token ledger.
--
-- Columns only add; all but agent_token_counts' own may be NULL. Parent and
-- step ids have no foreign key: they may arrive before what they name.
-- "Merge state" columns let events come in any order; they are the daemon's
-- own and nothing for readers.
--
-- Rollback: 0005_trace_columns.down.sql

-- What IF (NOT) EXISTS skips is nothing to report.
SET LOCAL client_min_messages = warning;

-- Sessions.

ALTER TABLE agent_sessions
  ADD COLUMN IF NOT EXISTS external_id TEXT,
  ADD COLUMN IF NOT EXISTS metadata JSONB,
  ADD COLUMN IF NOT EXISTS merge_times TIMESTAMPTZ[];

-- A hash index takes values of any length; a b-tree would refuse long ids.
CREATE INDEX IF NOT EXISTS idx_agent_sessions_external ON agent_sessions USING hash (external_id)
  WHERE external_id IS NOT NULL;

COMMENT ON COLUMN agent_sessions.external_id IS 'The source''s own id where that is no UUID; set by SessionUpsert';
COMMENT ON COLUMN agent_sessions.metadata IS
  'Anything else, a JSON object; set by SessionUpsert. unresolved_customer_id and unresolved_user_id hold ids that are in no table';
COMMENT ON COLUMN agent_sessions.merge_times IS
  'Merge state: event time of the value that stands, for customer_id, user_id, title, external_id, metadata in this order';

-- Runs.

ALTER TABLE agent_runs
  ADD COLUMN IF NOT EXISTS parent_run_id UUID,
  ADD COLUMN IF NOT EXISTS name TEXT,
  ADD COLUMN IF NOT EXISTS error TEXT,
  ADD COLUMN IF NOT EXISTS end_metadata JSONB,
  ADD COLUMN IF NOT EXISTS duration_ms BIGINT GENERATED ALWAYS AS (
    CASE
      -- Not the epoch of the difference: an interval cannot hold all of time.
      WHEN ended_at > started_at THEN trunc((
        extract(epoch FROM ended_at AT TIME ZONE 'UTC') - extract(epoch FROM started_at AT TIME ZONE 'UTC')
      ) * 1000)::bigint
      WHEN ended_at <= started_at THEN 0
    END
  ) STORED,
  ADD COLUMN IF NOT EXISTS last_event_at TIMESTAMPTZ,
  ADD COLUMN IF NOT EXISTS finalized_by TEXT CHECK (finalized_by IN ('client', 'root_span', 'abandoned')),
  ADD COLUMN IF NOT EXISTS reported_tokens_input INTEGER,
  ADD COLUMN IF NOT EXISTS reported_tokens_output INTEGER,
  ADD COLUMN IF NOT EXISTS timeout_ms BIGINT,
  ADD COLUMN IF NOT EXISTS start_event_at TIMESTAMPTZ,
  ADD COLUMN IF NOT EXISTS alive_at TIMESTAMPTZ,
  ADD COLUMN IF NOT EXISTS abandon_at TIMESTAMPTZ;

-- A run's row is updated a few times in its life: leave room on its page.
ALTER TABLE agent_runs SET (fillfactor = 90);

CREATE INDEX IF NOT EXISTS idx_agent_runs_abandon ON agent_runs(abandon_at) WHERE status = 'running';
CREATE INDEX IF NOT EXISTS idx_agent_runs_started ON agent_runs(started_at DESC);
CREATE INDEX IF NOT EXISTS idx_agent_runs_parent ON agent_runs(parent_run_id) WHERE parent_run_id IS NOT NULL;

COMMENT ON COLUMN agent_runs.parent_run_id IS 'The run that started this one; it need not be known. Set by RunStarted';
COMMENT ON COLUMN agent_runs.name IS 'A name for people; set by RunStarted';
COMMENT ON COLUMN agent_runs.error IS 'What went wrong, for people; set by RunEnded or the sweeper';
COMMENT ON COLUMN agent_runs.end_metadata IS 'Anything else known at the end, a JSON object; set by RunEnded';
COMMENT ON COLUMN agent_runs.duration_ms IS
  'ended_at - started_at in whole milliseconds; 0 when it ended before it started, NULL while either is unknown';
COMMENT ON COLUMN agent_runs.last_event_at IS
  'Event time of the latest event of the run; may lag while the run is live (run_summary.last_event_at is exact)';
COMMENT ON COLUMN agent_runs.finalized_by IS
  'Whose end stands: client (its end event), root_span (OTLP), abandoned (the sweeper). NULL while running';
COMMENT ON COLUMN agent_runs.reported_tokens_input IS
  'Input tokens as the runtime reports them, cached ones included; the total where the ledger has no row. Set by RunEnded';
COMMENT ON COLUMN agent_runs.reported_tokens_output IS
  'Output tokens as the runtime reports them, reasoning included; the total where the ledger has no row. Set by RunEnded';
COMMENT ON COLUMN agent_runs.timeout_ms IS
  'Silence in milliseconds after which this run counts as abandoned; NULL: the daemon''s --run-timeout. Set by RunStarted';
COMMENT ON COLUMN agent_runs.start_event_at IS
  'Merge state: event time of the RunStarted that stands; NULL: none has come, the row is a placeholder';
COMMENT ON COLUMN agent_runs.alive_at IS
  'Hidden merge state: greatest time of a start, heartbeat or end that came for the run.';
COMMENT ON COLUMN agent_runs.abandon_at IS
  'Merge state: when the sweeper may close the run, by the database''s clock; NULL once it is final';

-- Steps.

ALTER TABLE agent_steps
  ADD COLUMN IF NOT EXISTS parent_step_id UUID,
  ADD COLUMN IF NOT EXISTS kind TEXT,
  ADD COLUMN IF NOT EXISTS status TEXT CHECK (status IN ('running', 'completed', 'failed')),
  ADD COLUMN IF NOT EXISTS error TEXT,
  ADD COLUMN IF NOT EXISTS model TEXT,
  ADD COLUMN IF NOT EXISTS started_at TIMESTAMPTZ,
  ADD COLUMN IF NOT EXISTS ended_at TIMESTAMPTZ,
  ADD COLUMN IF NOT EXISTS metadata JSONB,
  ADD COLUMN IF NOT EXISTS closed_with_run BOOLEAN,
  ADD COLUMN IF NOT EXISTS duration_reported BOOLEAN,
  ADD COLUMN IF NOT EXISTS details_rank SMALLINT,
  ADD COLUMN IF NOT EXISTS details_at TIMESTAMPTZ,
  DROP CONSTRAINT IF EXISTS agent_steps_step_type_check,
  ADD CONSTRAINT agent_steps_step_type_check
    CHECK (step_type IN ('thinking', 'tool_call', 'tool_result', 'llm_call', 'handoff', 'other'));

-- Steps without an end of their own: those that a run's end closes, or reopens.
CREATE INDEX IF NOT EXISTS idx_agent_steps_open ON agent_steps(run_id) WHERE status = 'running' OR closed_with_run;

COMMENT ON COLUMN agent_steps.created_at IS 'When the step began by the client''s clock, or ended where the beginning is unknown';
COMMENT ON COLUMN agent_steps.duration_ms IS 'Milliseconds: measured by the client, else ended_at - started_at; NULL while open';
COMMENT ON COLUMN agent_steps.parent_step_id IS 'The step that this one is part of, in the same run; it need not be known';
COMMENT ON COLUMN agent_steps.kind IS 'A finer kind in the source''s own words: retriever, embedding, guardrail, …';
COMMENT ON COLUMN agent_steps.status IS 'running until its end event or the end of its run; NULL in rows that no daemon wrote';
COMMENT ON COLUMN agent_steps.error IS 'What went wrong, for people; set by StepEnded';
COMMENT ON COLUMN agent_steps.model IS 'The model that was called';
COMMENT ON COLUMN agent_steps.started_at IS 'The earliest start known, by the client''s clock';
COMMENT ON COLUMN agent_steps.ended_at IS 'When it ended, by the client''s clock; the run''s end where closed_with_run';
COMMENT ON COLUMN agent_steps.metadata IS 'Anything else, a JSON object';
COMMENT ON COLUMN agent_steps.closed_with_run IS 'True: no end event came, the step was closed when its run ended; else NULL';
COMMENT ON COLUMN agent_steps.duration_reported IS 'Merge state: duration_ms is the client''s own measurement';
COMMENT ON COLUMN agent_steps.details_rank IS 'Merge state: where the details come from (an end event outranks a start)';
COMMENT ON COLUMN agent_steps.details_at IS 'Merge state: event time of the details that stand';

-- Messages.

ALTER TABLE agent_messages
  ADD COLUMN IF NOT EXISTS run_id UUID REFERENCES agent_runs(id),
  ADD COLUMN IF NOT EXISTS step_id UUID,
  ADD COLUMN IF NOT EXISTS seq BIGINT;

CREATE INDEX IF NOT EXISTS idx_agent_messages_run ON agent_messages(run_id, created_at) WHERE run_id IS NOT NULL;

COMMENT ON COLUMN agent_messages.created_at IS 'When it was added, by the client''s clock';
COMMENT ON COLUMN agent_messages.run_id IS 'The run it was part of, if any';
COMMENT ON COLUMN agent_messages.step_id IS 'The step of that run that sent or received it; it need not be known';
COMMENT ON COLUMN agent_messages.seq IS 'Its place among the run''s messages, by the client; orders those of one time';

-- The token ledger.

CREATE TABLE IF NOT EXISTS agent_token_counts (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  run_id UUID NOT NULL REFERENCES agent_runs(id),
  step_id UUID,
  model TEXT,
  input INTEGER CHECK (input >= 0),
  output INTEGER CHECK (output >= 0),
  cache_read INTEGER CHECK (cache_read >= 0),
  cache_write INTEGER CHECK (cache_write >= 0),
  reasoning INTEGER CHECK (reasoning >= 0),
  rollup BOOLEAN NOT NULL DEFAULT false,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX IF NOT EXISTS idx_agent_token_counts_run ON agent_token_counts(run_id);

COMMENT ON TABLE agent_token_counts IS
  'Ledger of tokens used: a run''s totals are the sums of its rows that are no roll-ups. Set by TokenCount';
COMMENT ON COLUMN agent_token_counts.id IS 'Chosen by the client, so that a retry counts once';
COMMENT ON COLUMN agent_token_counts.run_id IS 'The run that used them';
COMMENT ON COLUMN agent_token_counts.step_id IS 'The step of that run that used them; it need not be known';
COMMENT ON COLUMN agent_token_counts.model IS 'The model that was paid';
COMMENT ON COLUMN agent_token_counts.input IS 'Input tokens, those read from or written to a cache included; NULL: not said';
COMMENT ON COLUMN agent_token_counts.output IS 'Output tokens, reasoning included; NULL: not said';
COMMENT ON COLUMN agent_token_counts.cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN agent_token_counts.cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN agent_token_counts.reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN agent_token_counts.rollup IS
  'Repeats what rows of its own already say (a parent''s sum): kept, but no part of the run''s totals';
COMMENT ON COLUMN agent_token_counts.created_at IS 'When they were used, by the client''s clock';

-- Approvals.

ALTER TABLE approvals
  ADD COLUMN IF NOT EXISTS run_id UUID REFERENCES agent_runs(id),
  ADD COLUMN IF NOT EXISTS step_id UUID,
  ADD COLUMN IF NOT EXISTS metadata JSONB,
  ADD COLUMN IF NOT EXISTS requested_event_at TIMESTAMPTZ;

CREATE INDEX IF NOT EXISTS idx_approvals_run ON approvals(run_id) WHERE run_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_approvals_expires ON approvals(expires_at) WHERE status = 'pending';

COMMENT ON COLUMN approvals.created_at IS 'When it was requested, by the client''s clock';
COMMENT ON COLUMN approvals.run_id IS 'The run that waits, if any';
COMMENT ON COLUMN approvals.step_id IS 'The step of that run that waits; it need not be known';
COMMENT ON COLUMN approvals.metadata IS
  'Anything else, a JSON object. unresolved_decided_by holds an id that is not in users';
COMMENT ON COLUMN approvals.requested_event_at IS
  'Merge state: event time of the ApprovalRequested that stands; NULL: none has come, the row is a placeholder';
