-- Undoes 0007_row_level_security: drops its policies and functions, and turns
-- row level security off on tables that are ours. On a table that was there
-- before, it stays on: without a policy that shows nobody anything, which is
-- the safe side.

DO $migration$
DECLARE
  policy record;
  ours record;
BEGIN
  FOR policy IN
    SELECT polname, polrelid::regclass AS on_table
    FROM pg_policy
    WHERE polname IN (
      'CSMs see assigned customers', 'Users see own sessions', 'Users see session approvals',
      'Users can access their customers'' data', 'Users see own runs', 'Users see steps of own runs',
      'Users see token counts of own runs', 'Users access messages of own sessions',
      'Users see messages of own runs', 'Users see approvals of own runs', 'Users see themselves',
      'Admins see everything'
    )
    AND polrelid = ANY (ARRAY[
      'users', 'customers', 'stakeholders', 'contracts', 'entitlements', 'agent_sessions', 'agent_messages',
      'agent_runs', 'agent_steps', 'agent_token_counts', 'approvals', 'health_scores', 'usage_metrics',
      'risk_signals', 'renewal_pipeline', 'qbrs', 'ingest_dead_letters', 'ingest_ledger'
    ]::regclass[])
  LOOP
    EXECUTE format('DROP POLICY %I ON %s', policy.polname, policy.on_table);
  END LOOP;

  FOR ours IN
    SELECT name
    FROM unnest(ARRAY[
      'users', 'customers', 'stakeholders', 'contracts', 'entitlements', 'agent_sessions', 'agent_messages',
      'agent_runs', 'agent_steps', 'approvals', 'health_scores', 'usage_metrics', 'risk_signals',
      'renewal_pipeline', 'qbrs'
    ]) AS name
    WHERE obj_description(name::regclass, 'pg_class') LIKE '%[created by runtraced]'
  LOOP
    EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', ours.name);
  END LOOP;

  IF obj_description(to_regprocedure('public.is_admin(uuid)'), 'pg_proc') LIKE '%[created by runtraced]' THEN
    DROP FUNCTION public.is_admin(uuid);
  END IF;
END
$migration$;

ALTER TABLE agent_token_counts DISABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_dead_letters DISABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_keys DISABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_ledger DISABLE ROW LEVEL SECURITY;

DROP FUNCTION IF EXISTS public.owns_run(uuid);
DROP FUNCTION IF EXISTS public.owns_session(uuid);
DROP FUNCTION IF EXISTS public.owns_contract(uuid);
DROP FUNCTION IF EXISTS public.owns_customer(uuid);
