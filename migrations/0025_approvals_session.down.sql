-- Undoes 0025_approvals_session.

DROP INDEX IF EXISTS idx_approvals_session;
