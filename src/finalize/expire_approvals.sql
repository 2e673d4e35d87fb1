-- Pending approvals whose time has passed. A guess: a decision that comes late
-- still stands over it. $1 how many.
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
