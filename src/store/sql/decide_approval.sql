-- Decides a pending approval that has not expired. $1 id, $2 status, $3 notes or NULL, $4 name of the key that decided, or of
-- the operator, $5 id of that key, both NULL: a user, $6 the revision that was shown (query/approval_queue.rs). A user's
-- decision has the user in decided_by: a trigger sets it.
WITH d AS MATERIALIZED (
    SELECT id, encode(sha256(convert_to(
               ROW(run_id, session_id, action_type, action_description, action_data)::text, 'UTF8')), 'hex') AS revision
    FROM approvals
    WHERE id = $1
    FOR UPDATE
)
UPDATE approvals AS a
SET status = $2,
    decided_at = now(),
    notes = $3,
    metadata = CASE WHEN $4::text IS NULL THEN a.metadata
                    ELSE CASE
                           WHEN a.metadata IS NULL THEN '{}'
                           WHEN jsonb_typeof(a.metadata) = 'object' THEN a.metadata - 'decided_by_key_id'
                           -- What is no object keeps a place beside it.
                           ELSE jsonb_set('{}', '{metadata}', a.metadata)
                         END
                         || jsonb_object('{decided_by_key}', ARRAY[$4::text])
                         || CASE WHEN $5::uuid IS NULL THEN '{}' ELSE jsonb_object('{decided_by_key_id}', ARRAY[$5::uuid::text]) END END
FROM d
WHERE a.id = d.id AND d.revision = $6 AND coalesce(a.status, 'pending') = 'pending' AND (a.expires_at IS NULL OR a.expires_at > now())
