-- Expires pending approvals whose time has passed. A late decision still replaces "expired".
-- $1 how many at most.
UPDATE approvals
SET status = 'expired'
WHERE id IN (
    SELECT id
    FROM approvals
    WHERE status = 'pending' AND expires_at < now()
    ORDER BY id
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
)
