-- Finds the approvals of a session. Postgres looks for them whenever a session is deleted, and read all approvals each
-- time.
--
-- Rollback: 0025_approvals_session.down.sql

SET LOCAL client_min_messages = warning;

CREATE INDEX IF NOT EXISTS idx_approvals_session ON approvals(session_id) WHERE session_id IS NOT NULL;
