-- The next runs whose deletion has begun, or that belong to what was erased. $1 the last run of the look before; $2 how many at
-- most.
SELECT r.id
FROM agent_runs r
WHERE r.gone_at IS NOT NULL AND r.id > $1::uuid
ORDER BY r.id
LIMIT $2::bigint
