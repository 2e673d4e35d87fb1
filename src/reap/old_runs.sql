-- The next runs that have ended and not changed for $1, as due_runs.sql returns them. $2, $3 where the last look ended; $4 how
-- many at most; $5 status, $6 agent, $7 customer (NULL: any). The approvals and scores are those of lock_doomed.sql.
SELECT r.id, coalesce(r.changed_at, r.ended_at)::text AS at, s.since::text AS since, true AS due
FROM (SELECT now() - $1::text::interval AS since) AS s
JOIN agent_runs r ON coalesce(r.changed_at, r.ended_at) < s.since - interval '1 minute'
WHERE (coalesce(r.changed_at, r.ended_at), r.id) > ($2::text::timestamptz, $3::uuid)
  AND r.status <> 'running' AND r.settle_at IS NULL AND r.gone_at IS NULL
  AND ($5::text IS NULL OR r.status = $5)
  AND ($6::text IS NULL OR r.agent_id = $6)
  AND ($7::text[] IS NULL OR coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id') = ANY ($7))
  AND NOT EXISTS (
      SELECT FROM approvals a
      WHERE a.run_id = r.id
        AND (coalesce(a.status, 'pending') = 'pending'
             OR greatest(a.decided_at, CASE WHEN a.status = 'expired' THEN a.expires_at END)
                BETWEEN s.since AND now() + interval '1 day'))
  AND NOT EXISTS (SELECT FROM agent_scores c WHERE c.run_id = r.id AND c.created_at BETWEEN s.since AND now() + interval '1 day')
ORDER BY coalesce(r.changed_at, r.ended_at), r.id
LIMIT $4::bigint
