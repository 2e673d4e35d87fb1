-- Creates the sessions that do not exist, in a transaction of its own before that of a batch.
-- $1 ids, $2 the earliest event time that names each.
-- Does what ensure_sessions.sql does for a new session without a tenant, which comes next in any case. Sessions that were
-- erased are not made again.
INSERT INTO agent_sessions (id, created_at, updated_at, changed_at)
SELECT n.id, n.at, n.at, now()
FROM unnest($1::uuid[], $2::timestamptz[]) AS n (id, at)
WHERE NOT EXISTS (SELECT FROM agent_sessions o WHERE o.id = n.id)
  AND NOT EXISTS (SELECT FROM ingest_tombstones g WHERE g.id = n.id AND g.is_session)
ORDER BY n.id
ON CONFLICT ON CONSTRAINT agent_sessions_pkey DO NOTHING
