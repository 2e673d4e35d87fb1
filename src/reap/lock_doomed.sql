-- Locks those of the runs $1 that may be deleted. $2: only those that have not changed since (NULL: also those that go on).
-- Runs that somebody works on are left out.
SELECT r.id
FROM agent_runs r
WHERE r.id = ANY ($1::uuid[])
  AND ($2::text IS NULL
       OR coalesce(r.changed_at, r.ended_at) <= $2::text::timestamptz AND r.status <> 'running' AND r.settle_at IS NULL
          AND NOT EXISTS (SELECT FROM approvals a WHERE a.run_id = r.id AND a.status = 'pending'))
ORDER BY r.id
FOR UPDATE OF r SKIP LOCKED
