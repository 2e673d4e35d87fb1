-- Deletes aliases whose run does not exist a day after they arrived: their trace is not that of
-- an agent. $1 how many at most.
DELETE FROM agent_step_aliases a
USING (
    SELECT d.run_id, d.id
    FROM agent_step_aliases d
    WHERE d.run_pending AND d.created_at < now() - interval '24 hours'
      AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = d.run_id)
    ORDER BY d.created_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) n
WHERE a.run_id = n.run_id AND a.id = n.id
