-- Creates the sessions that a batch names and that do not exist, before anything refers to them.
-- $1 ids, $2 the earliest event time that names each, $3 whether the batch also upserts it,
-- $4 the tenant that owns it if it is new, or NULL.
-- created_at of a session is the earliest event time that ever named it. changed_at is moved on
-- if it is an hour old (reap/still_idle.sql). Sessions that are upserted next are locked here, in
-- the order of their ids. Sessions that need no change are not locked, so that writers can share
-- them.
-- Returns the sessions that were erased: they are not made again.
WITH gone AS MATERIALIZED (
    SELECT g.id FROM ingest_tombstones g WHERE g.id = ANY ($1::uuid[]) AND g.is_session
), made AS (
    INSERT INTO agent_sessions AS s (id, created_at, updated_at, tenant_id, customer_id, changed_at)
    SELECT n.id, n.at, n.at, n.tenant_id, c.id, now()
    FROM unnest($1::uuid[], $2::timestamptz[], $3::boolean[], $4::uuid[]) AS n (id, at, upsert, tenant_id)
    LEFT JOIN LATERAL public.known_customer(n.tenant_id) c ON true
    WHERE (n.upsert
       OR NOT EXISTS (SELECT FROM agent_sessions o
                      WHERE o.id = n.id AND o.created_at <= n.at AND o.changed_at > now() - interval '1 hour'))
      AND NOT EXISTS (SELECT FROM gone g WHERE g.id = n.id)
    ORDER BY n.id
    ON CONFLICT ON CONSTRAINT agent_sessions_pkey DO UPDATE
    SET created_at = least(s.created_at, excluded.created_at),
        updated_at = CASE WHEN s.merge_times IS NULL AND (excluded.created_at < s.created_at OR s.created_at IS NULL)
                          THEN excluded.updated_at ELSE s.updated_at END,
        changed_at = excluded.changed_at
    WHERE excluded.created_at < s.created_at OR s.created_at IS NULL
       OR s.changed_at IS NULL
       OR s.changed_at AT TIME ZONE 'UTC' <= excluded.changed_at AT TIME ZONE 'UTC' - interval '1 hour'
)
SELECT id FROM gone
