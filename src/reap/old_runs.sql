-- The next runs that have ended and not changed for $1, as due_runs.sql returns them. $2, $3 where the last look ended; $4 how
-- many at most; $5 status, $6 agent, $7 customer (NULL: any).
SELECT r.id, coalesce(r.changed_at, r.ended_at)::text AS at, true AS due
FROM agent_runs r
WHERE (coalesce(r.changed_at, r.ended_at), r.id) > ($2::text::timestamptz, $3::uuid)
  AND coalesce(r.changed_at, r.ended_at) < now() - $1::text::interval
  AND r.status <> 'running' AND r.settle_at IS NULL
  AND ($5::text IS NULL OR r.status = $5)
  AND ($6::text IS NULL OR r.agent_id = $6)
  AND ($7::uuid IS NULL OR coalesce(r.tenant_id, r.customer_id) = $7)
  AND NOT EXISTS (SELECT FROM approvals a WHERE a.run_id = r.id AND a.status = 'pending')
ORDER BY coalesce(r.changed_at, r.ended_at), r.id
LIMIT $4::bigint
