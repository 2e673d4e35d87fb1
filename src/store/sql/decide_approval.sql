-- Decides a pending approval that has not expired. $1 id, $2 status, $3 notes or NULL, $4 name of the key that decided, or of
-- the operator, $5 id of that key, both NULL: a user, $6 the revision that was shown (query/approval_queue.rs). A user's
-- decision has the user in decided_by: a trigger sets it.
UPDATE approvals AS a
SET status = $2,
    decided_at = now(),
    notes = $3,
    metadata = CASE WHEN $4::text IS NULL THEN a.metadata
                    ELSE CASE
                           WHEN a.metadata IS NULL THEN '{}'
                           WHEN jsonb_typeof(a.metadata) = 'object' THEN a.metadata - 'decided_by_key_id'
                           -- What is no object keeps a place beside it.
                           ELSE jsonb_build_object('metadata', a.metadata)
                         END
                         || jsonb_build_object('decided_by_key', $4::text)
                         || CASE WHEN $5::uuid IS NULL THEN '{}' ELSE jsonb_build_object('decided_by_key_id', $5::uuid) END END
WHERE a.id = $1 AND coalesce(a.status, 'pending') = 'pending' AND (a.expires_at IS NULL OR a.expires_at > now())
  AND $6 = encode(sha256(convert_to(
        ROW(a.run_id, a.session_id, a.action_type, a.action_description, a.action_data)::text, 'UTF8')), 'hex')
