-- The seed's five agent tables, exactly as it has them. What tracing adds to
-- them is in 0005_trace_columns.
--
-- Rollback: 0003_agent_tables.down.sql

-- What IF (NOT) EXISTS skips is nothing to report.
SET LOCAL client_min_messages = warning;

-- A product may have some of these tables already: they are kept as they are,
-- and only those created here are marked as ours (the down file drops no other).
SELECT set_config('runtraced.there_before', coalesce(string_agg(relname, ','), ''), true)
FROM pg_class
WHERE oid IN (to_regclass('agent_sessions'), to_regclass('agent_messages'), to_regclass('agent_runs'), to_regclass('agent_steps'), to_regclass('approvals'));

CREATE TABLE IF NOT EXISTS agent_sessions (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  user_id UUID REFERENCES users(id),
  title TEXT,
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE TABLE IF NOT EXISTS agent_messages (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id UUID REFERENCES agent_sessions(id),
  role TEXT CHECK (role IN ('user', 'assistant', 'system', 'tool')),
  content TEXT,
  thinking TEXT,
  tool_calls JSONB,
  metadata JSONB,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE TABLE IF NOT EXISTS agent_runs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id UUID REFERENCES agent_sessions(id),
  agent_id TEXT NOT NULL,
  agent_type TEXT NOT NULL,
  customer_id UUID REFERENCES customers(id),
  status TEXT CHECK (status IN ('running', 'completed', 'failed')),
  input TEXT,
  output TEXT,
  total_tokens_input INTEGER,
  total_tokens_output INTEGER,
  started_at TIMESTAMPTZ DEFAULT NOW(),
  ended_at TIMESTAMPTZ,
  metadata JSONB
);

CREATE TABLE IF NOT EXISTS agent_steps (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  run_id UUID REFERENCES agent_runs(id),
  step_type TEXT CHECK (step_type IN ('thinking', 'tool_call', 'tool_result', 'llm_call', 'handoff')),
  name TEXT,
  input JSONB,
  output JSONB,
  duration_ms INTEGER,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE TABLE IF NOT EXISTS approvals (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id UUID REFERENCES agent_sessions(id),
  action_type TEXT NOT NULL,
  action_description TEXT,
  action_data JSONB,
  status TEXT CHECK (status IN ('pending', 'approved', 'rejected', 'expired')),
  decided_by UUID REFERENCES users(id),
  decided_at TIMESTAMPTZ,
  notes TEXT,
  created_at TIMESTAMPTZ DEFAULT NOW(),
  expires_at TIMESTAMPTZ
);

CREATE INDEX IF NOT EXISTS idx_agent_runs_customer ON agent_runs(customer_id);
CREATE INDEX IF NOT EXISTS idx_agent_runs_session ON agent_runs(session_id);
CREATE INDEX IF NOT EXISTS idx_approvals_pending ON approvals(session_id) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS idx_agent_sessions_customer ON agent_sessions(customer_id);
CREATE INDEX IF NOT EXISTS idx_agent_sessions_user ON agent_sessions(user_id);
CREATE INDEX IF NOT EXISTS idx_agent_messages_session ON agent_messages(session_id, created_at);
CREATE INDEX IF NOT EXISTS idx_agent_steps_run ON agent_steps(run_id, created_at);

DO $migration$
DECLARE
  created record;
BEGIN
  FOR created IN
    SELECT *
    FROM (VALUES
      ('agent_sessions', 'Conversations with an agent'),
      ('agent_messages', 'Messages of a conversation, and of a run'),
      ('agent_runs', 'Runs of an agent; read them through run_summary and run_timeline'),
      ('agent_steps', 'Single actions within a run, a tree by parent_step_id'),
      ('approvals', 'Requests to a person to approve an action (human in the loop)')
    ) AS t (name, about)
    WHERE name <> ALL (string_to_array(current_setting('runtraced.there_before'), ','))
  LOOP
    EXECUTE format('COMMENT ON TABLE %I IS %L', created.name, created.about || ' [created by runtraced]');
  END LOOP;
END
$migration$;
