-- Locks runs whose aliases arrived before them, a day ago or earlier. The sweeper applies these
-- aliases once more. $1 how many at most.
SELECT r.id
FROM agent_runs r
WHERE r.id IN (
    SELECT a.run_id
    FROM agent_step_aliases a
    WHERE a.run_pending AND a.created_at < now() - interval '24 hours'
) AND r.settle_at IS NULL
ORDER BY r.id
LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
