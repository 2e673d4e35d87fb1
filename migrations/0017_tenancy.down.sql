-- Undoes 0017_tenancy: whose rows are is told by customer_id alone then.

ALTER TABLE ingest_dead_letters DROP COLUMN IF EXISTS tenant_id;
ALTER TABLE agent_step_aliases DROP COLUMN IF EXISTS tenant_id;
ALTER TABLE agent_runs DROP COLUMN IF EXISTS tenant_id;
ALTER TABLE agent_sessions DROP COLUMN IF EXISTS tenant_id;
