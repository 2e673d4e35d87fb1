-- Makes sure that every session a batch names is there, before anything refers to it.
-- $1 ids, $2 the least event time that names each, $3 whether the batch also upserts it,
-- $4 whose they are if they are new: a customer, or NULL.
-- A session's created_at is the least event time that ever named it. Rows that
-- are upserted next are locked here, in the order of their ids; others that
-- need nothing are not even locked, so writers may share a session.
INSERT INTO agent_sessions AS s (id, created_at, updated_at, tenant_id, customer_id)
SELECT n.id, n.at, n.at, n.tenant_id, c.id
FROM unnest($1::uuid[], $2::timestamptz[], $3::boolean[], $4::uuid[]) AS n (id, at, upsert, tenant_id)
LEFT JOIN customers c ON c.id = n.tenant_id
WHERE n.upsert
   OR NOT EXISTS (SELECT FROM agent_sessions o WHERE o.id = n.id AND o.created_at <= n.at)
ORDER BY n.id
ON CONFLICT ON CONSTRAINT agent_sessions_pkey DO UPDATE
SET created_at = excluded.created_at,
    updated_at = CASE WHEN s.merge_times IS NULL THEN excluded.updated_at ELSE s.updated_at END
WHERE excluded.created_at < s.created_at OR s.created_at IS NULL
