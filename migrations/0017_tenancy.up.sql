-- Whose a row is that came with a key bound to a customer. Set when the row is made
-- and never changed, whatever becomes of customer_id, which merges by event time:
-- who may write to a row must not depend on what is written to it.
--
-- Columns only add, may be NULL, and are the daemon's own: nothing for readers.
-- No foreign key: the key's is enough, and a trace is not lost with its customer.
--
-- Rollback: 0017_tenancy.down.sql

ALTER TABLE agent_sessions ADD COLUMN tenant_id UUID;
ALTER TABLE agent_runs ADD COLUMN tenant_id UUID;
ALTER TABLE agent_step_aliases ADD COLUMN tenant_id UUID;
ALTER TABLE ingest_dead_letters ADD COLUMN tenant_id UUID;

COMMENT ON COLUMN agent_sessions.tenant_id IS
  'Merge state: the customer whose key made the row and may write to it; NULL: made without such a key, customer_id says whose it is';
COMMENT ON COLUMN agent_runs.tenant_id IS
  'Merge state: the customer whose key made the row and may write to it; NULL: made without such a key, customer_id says whose it is, or the session''s';
COMMENT ON COLUMN agent_step_aliases.tenant_id IS
  'Merge state: the customer whose key brought it before its run was there: no other''s run is concerned by it; NULL: nobody''s, or checked against the run';
COMMENT ON COLUMN ingest_dead_letters.tenant_id IS
  'The customer whose key the event came with, for whom alone it may be sent again; NULL: none';
