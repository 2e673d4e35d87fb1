-- Decides a pending approval that has not expired. $1 id, $2 status, $3 notes or NULL, $4 name of the key that decided or
-- NULL. A user's decision has the user in decided_by: a trigger sets it.
UPDATE approvals
SET status = $2,
    decided_at = now(),
    notes = $3,
    metadata = CASE WHEN $4::text IS NULL THEN metadata
                    ELSE coalesce(metadata, '{}') || jsonb_build_object('decided_by_key', $4::text) END
WHERE id = $1 AND coalesce(status, 'pending') = 'pending' AND (expires_at IS NULL OR expires_at > now())
