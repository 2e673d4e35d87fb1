-- The next runs whose deletion has begun, or that belong to what was erased. $1 the last run of the look before; $2 how many at
-- most; $3 status, $4 agent, $5 customer (NULL: any).
SELECT r.id
FROM agent_runs r
WHERE r.gone_at IS NOT NULL AND r.id > $1::uuid
  AND ($3::text IS NULL OR r.status = $3)
  AND ($4::text IS NULL OR r.agent_id = $4)
  AND ($5::text[] IS NULL OR coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id') = ANY ($5))
ORDER BY r.id
LIMIT $2::bigint
