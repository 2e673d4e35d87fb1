-- Locks runs that writers left to the sweeper and that nobody works on, but not those that were
-- silent for too long. $1 runs that are known to be large; $2 how many at most.
SELECT id
FROM agent_runs
WHERE settle_at <= now() AND id <> ALL ($1::uuid[]) AND (status = 'running' AND abandon_at < now()) IS NOT TRUE
ORDER BY settle_at
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED
