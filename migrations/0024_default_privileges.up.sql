-- Takes back what default privileges gave. Supabase gives anon and authenticated all rights on every new table of the
-- schema public. Row level security keeps rows from them, but TRUNCATE is not bound by policies.
--
-- On tables that only the daemon and the operator write, anon keeps no right and authenticated only SELECT. On the other
-- tables that runtraced created, both lose TRUNCATE, REFERENCES and TRIGGER; a product may have policies of its own that
-- need the rest. A product's own tables stay as they are.
--
-- Rollback: 0024_default_privileges.down.sql

DO $migration$
DECLARE
  internal CONSTANT text[] := ARRAY[
    'agent_token_counts', 'agent_step_aliases', 'ingest_dead_letters', 'ingest_keys', 'ingest_ledger',
    'ingest_reconciliation'
  ];
  visitor text;
  one text;
BEGIN
  FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
    FOREACH one IN ARRAY internal LOOP
      EXECUTE format('REVOKE ALL ON %I FROM %I', one, visitor);
    END LOOP;
    FOR one IN
      SELECT name
      FROM unnest(ARRAY[
        'users', 'customers', 'stakeholders', 'contracts', 'entitlements', 'agent_sessions', 'agent_messages',
        'agent_runs', 'agent_steps', 'approvals', 'health_scores', 'usage_metrics', 'risk_signals',
        'renewal_pipeline', 'qbrs'
      ]) AS name
      WHERE obj_description(name::regclass, 'pg_class') LIKE '%[created by runtraced]'
    LOOP
      EXECUTE format('REVOKE TRUNCATE, REFERENCES, TRIGGER ON %I FROM %I', one, visitor);
    END LOOP;
  END LOOP;

  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON
      agent_token_counts, agent_step_aliases, ingest_dead_letters, ingest_ledger, ingest_reconciliation
      TO authenticated;
  END IF;
END
$migration$;
