-- Decides a pending approval that has not expired. $1 id, $2 status, $3 notes or NULL, $4 name of the key that decided or
-- NULL, $5 the revision that was shown (query/approval_queue.rs) or NULL: any. A user's decision has the user in
-- decided_by: a trigger sets it.
UPDATE approvals AS a
SET status = $2,
    decided_at = now(),
    notes = $3,
    metadata = CASE WHEN $4::text IS NULL THEN a.metadata
                    ELSE coalesce(a.metadata, '{}') || jsonb_build_object('decided_by_key', $4::text) END
WHERE a.id = $1 AND coalesce(a.status, 'pending') = 'pending' AND (a.expires_at IS NULL OR a.expires_at > now())
  AND ($5::text IS NULL OR $5 = encode(sha256(convert_to(
        ROW(a.run_id, a.session_id, a.action_type, a.action_description, a.action_data)::text, 'UTF8')), 'hex'))
