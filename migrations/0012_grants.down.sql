-- Undoes 0012_grants.

DO $migration$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    REVOKE SELECT ON
      users, customers, stakeholders, contracts, entitlements, agent_sessions, agent_messages, agent_runs, agent_steps,
      agent_token_counts, approvals, health_scores, usage_metrics, risk_signals, renewal_pipeline, qbrs,
      ingest_dead_letters, ingest_ledger, ingest_reconciliation,
      customer_health, customers_at_risk, upcoming_renewals, run_summary, run_timeline
      FROM authenticated;
    REVOKE INSERT, UPDATE, DELETE ON
      agent_sessions, agent_messages, approvals, stakeholders, contracts, entitlements,
      health_scores, usage_metrics, risk_signals, renewal_pipeline, qbrs
      FROM authenticated;
  END IF;
END
$migration$;
