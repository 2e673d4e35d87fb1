-- What a signed-in user of Supabase may touch at all; row level security then
-- says which rows. Only where Supabase's role `authenticated` is; migrations
-- create no role. On plain Postgres grant the same to a role of your own:
--   GRANT USAGE ON SCHEMA public, auth TO <role>;
--   GRANT SELECT ON ALL TABLES IN SCHEMA public TO <role>;
--   GRANT INSERT, UPDATE, DELETE ON agent_sessions, agent_messages, approvals, stakeholders, contracts,
--     entitlements, health_scores, usage_metrics, risk_signals, renewal_pipeline, qbrs TO <role>;
-- Nobody but the owner needs more; TRUNCATE above all is not bound by policies.
--
-- Rollback: 0012_grants.down.sql

DO $migration$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON
      users, customers, stakeholders, contracts, entitlements, agent_sessions, agent_messages, agent_runs, agent_steps,
      agent_token_counts, approvals, health_scores, usage_metrics, risk_signals, renewal_pipeline, qbrs,
      ingest_dead_letters, ingest_ledger, ingest_reconciliation,
      customer_health, customers_at_risk, upcoming_renewals, run_summary, run_timeline
      TO authenticated;
    GRANT INSERT, UPDATE, DELETE ON
      agent_sessions, agent_messages, approvals, stakeholders, contracts, entitlements,
      health_scores, usage_metrics, risk_signals, renewal_pipeline, qbrs
      TO authenticated;
  END IF;
END
$migration$;
