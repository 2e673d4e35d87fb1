-- Those of the locked sessions $1 that may be deleted: nothing in them belongs to a run, nobody is asked, and they have not changed
-- since $2 (NULL: all that does not matter). changed_at is up to an hour behind (ensure_sessions.sql). $3: only those in which
-- nothing is left. One of several servers keeps what was said of a session: others may have runs of it, and it may get some.
SELECT s.id
FROM (
    -- Several runs of one session may go at once.
    SELECT u.id, min(u.since) AS since
    FROM unnest($1::uuid[], $2::text[]::timestamptz[]) AS u (id, since)
    GROUP BY u.id
) n
JOIN agent_sessions s ON s.id = n.id
WHERE n.since IS NULL
   OR coalesce(s.changed_at, s.updated_at, s.created_at) < n.since - interval '1 hour'
      AND (s.merge_times IS NULL OR to_regprocedure('public.store_server()') IS NULL)
      AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.session_id = s.id)
      AND NOT EXISTS (
          SELECT FROM agent_messages m
          WHERE m.session_id = s.id
            AND (m.run_id IS NOT NULL OR $3::boolean OR m.created_at BETWEEN n.since AND now() + interval '1 day'))
      AND NOT EXISTS (
          SELECT FROM approvals a
          WHERE a.session_id = s.id
            AND (a.run_id IS NOT NULL OR $3::boolean OR coalesce(a.status, 'pending') = 'pending'
                 OR a.created_at BETWEEN n.since AND now() + interval '1 day'
                 OR greatest(a.decided_at, CASE WHEN a.status = 'expired' THEN a.expires_at END)
                    BETWEEN n.since AND now() + interval '1 day'))
