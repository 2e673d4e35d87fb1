-- Undoes 0033_readers. Keys that may only read are revoked: without the column they could write.

UPDATE ingest_keys SET revoked_at = now() WHERE access <> 'write' AND revoked_at IS NULL;
ALTER TABLE ingest_keys DROP COLUMN IF EXISTS access;

DROP POLICY IF EXISTS "Readers see their customer" ON customers;
DROP POLICY IF EXISTS "Readers see sessions of their customer" ON agent_sessions;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_runs;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_steps;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_token_counts;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_scores;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_step_aliases;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_messages;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON approvals;
DROP FUNCTION IF EXISTS public.reads_run(uuid);
DROP FUNCTION IF EXISTS public.reads_session(uuid);
DROP FUNCTION IF EXISTS public.reader_customer();
