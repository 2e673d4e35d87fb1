-- What is needed to delete traces: since when a run has not changed, by the database's clock; how long which runs are kept;
-- and which runs and sessions are gone, so that a late event does not bring them back.
--
-- Daemons of earlier versions do not ask which runs are gone, so the write epoch is the next one.
--
-- Rollback: 0042_retention.down.sql

-- Without the default first: rows that are there already must not look as if they had changed now.
ALTER TABLE agent_runs ADD COLUMN changed_at TIMESTAMPTZ, ADD COLUMN gone_at TIMESTAMPTZ;
ALTER TABLE agent_runs ALTER COLUMN changed_at SET DEFAULT now();
ALTER TABLE agent_sessions ADD COLUMN changed_at TIMESTAMPTZ;
ALTER TABLE agent_sessions ALTER COLUMN changed_at SET DEFAULT now();

COMMENT ON COLUMN agent_runs.changed_at IS
  'When the run last changed, by the database''s clock: how long it is kept counts from then. NULL: before there was this column; then ended_at counts';
COMMENT ON COLUMN agent_runs.gone_at IS
  'Since when the run is being deleted: it has many rows, or it belongs to what was erased. NULL: it is not';
COMMENT ON COLUMN agent_sessions.changed_at IS
  'When an event last changed or named the session, by the database''s clock, up to an hour less. NULL: before there was this column; then updated_at counts';

CREATE INDEX idx_agent_runs_changed ON agent_runs((coalesce(changed_at, ended_at)), id);
CREATE INDEX idx_agent_runs_gone ON agent_runs(gone_at) WHERE gone_at IS NOT NULL;
CREATE INDEX idx_ingest_dead_letters_received ON ingest_dead_letters(received_at);

CREATE TABLE retention_rules (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  status TEXT CHECK (status IN ('completed', 'failed')),
  agent_id TEXT,
  customer_id UUID,
  keep INTERVAL CHECK (keep BETWEEN INTERVAL '1 hour' AND INTERVAL '100 years'),
  note TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

COMMENT ON TABLE retention_rules IS
  'How long which runs are kept, where --retain does not say it for all. Of the rules that a run meets, the one with the most '
  'conditions holds; of those with as many, one with a customer before one with an agent before one with a status, and then the '
  'longest. Written by operators';
COMMENT ON COLUMN retention_rules.id IS 'Made by the database';
COMMENT ON COLUMN retention_rules.status IS 'Only runs with this status; NULL: with any';
COMMENT ON COLUMN retention_rules.agent_id IS 'Only runs of this agent; NULL: of any';
COMMENT ON COLUMN retention_rules.customer_id IS 'Only runs of this customer; NULL: of any and of none';
COMMENT ON COLUMN retention_rules.keep IS 'How long they are kept after their last change; NULL: for ever';
COMMENT ON COLUMN retention_rules.note IS 'Why, for people';
COMMENT ON COLUMN retention_rules.created_at IS 'When the rule was made';

CREATE TABLE ingest_tombstones (
  id UUID NOT NULL,
  is_session BOOLEAN NOT NULL DEFAULT false,
  at TIMESTAMPTZ NOT NULL DEFAULT now(),
  erased_for TEXT,
  PRIMARY KEY (id, is_session)
);
CREATE INDEX idx_ingest_tombstones_at ON ingest_tombstones(at);
CREATE INDEX idx_ingest_tombstones_erased ON ingest_tombstones(erased_for) WHERE erased_for IS NOT NULL;

COMMENT ON TABLE ingest_tombstones IS
  'Runs and sessions that were deleted: late events of them are ignored. Written by whoever deletes them';
COMMENT ON COLUMN ingest_tombstones.id IS 'The run or session';
COMMENT ON COLUMN ingest_tombstones.is_session IS 'Whether it is a session that was erased; false: a run';
COMMENT ON COLUMN ingest_tombstones.at IS 'When it was deleted, by the database''s clock';
COMMENT ON COLUMN ingest_tombstones.erased_for IS
  'SHA-256 of whom it was erased for: a run that it started belongs to the same subject. NULL: it was only old';

ALTER TABLE retention_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_tombstones ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Admins see everything" ON retention_rules FOR SELECT
  USING ((SELECT public.is_admin(auth.uid())));
CREATE POLICY "Admins see everything" ON ingest_tombstones FOR SELECT
  USING ((SELECT public.is_admin(auth.uid())));

DO $migration$
DECLARE
  visitor text;
  writer text;
BEGIN
  -- Supabase gives anon and authenticated all rights on every new table.
  FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
    EXECUTE format('REVOKE ALL ON retention_rules, ingest_tombstones FROM %I', visitor);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON retention_rules, ingest_tombstones TO authenticated;
  END IF;
  -- Roles that were granted what a daemon needs before this migration.
  FOR writer IN
    SELECT DISTINCT r.rolname
    FROM pg_policies AS p, unnest(p.roles) AS granted (name)
    JOIN pg_roles AS r ON r.rolname = granted.name
    WHERE p.schemaname = 'public' AND p.policyname = ('runtraced writes as ' || r.rolname)::name
  LOOP
    EXECUTE format('GRANT SELECT, INSERT ON ingest_tombstones TO %I', writer);
    EXECUTE format('CREATE POLICY %I ON ingest_tombstones FOR ALL TO %I USING (true) WITH CHECK (true)',
      'runtraced writes as ' || writer, writer);
  END LOOP;
END
$migration$;

CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 4 $function$;
