-- Locks those of the runs $1 that may be deleted. $2: each has not changed since then (NULL: that does not matter, and it may go
-- on); neither was it scored, or asked or decided about. Runs that somebody works on are left out.
SELECT r.id
FROM unnest($1::uuid[], $2::text[]::timestamptz[]) AS n (id, since)
JOIN agent_runs r ON r.id = n.id
WHERE n.since IS NULL
   OR coalesce(r.changed_at, r.ended_at) < n.since - interval '1 minute' AND r.status <> 'running' AND r.settle_at IS NULL
      AND NOT EXISTS (
          SELECT FROM approvals a
          WHERE a.run_id = r.id
            AND (coalesce(a.status, 'pending') = 'pending'
                 OR greatest(a.decided_at, CASE WHEN a.status = 'expired' THEN a.expires_at END)
                    BETWEEN n.since AND now() + interval '1 day'))
      AND NOT EXISTS (
          SELECT FROM agent_scores c WHERE c.run_id = r.id AND c.created_at BETWEEN n.since AND now() + interval '1 day')
ORDER BY r.id
FOR UPDATE OF r SKIP LOCKED
