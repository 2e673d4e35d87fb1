-- Silent runs, as abandon_runs.sql finds them, whose trace has a root that is no
-- step: it came when the run was not there, or not seen. It ends them, which
-- is no guess. $1 how many.
SELECT id
FROM agent_runs r
WHERE status = 'running' AND abandon_at < now()
  AND EXISTS (SELECT FROM agent_step_aliases a WHERE a.run_id = r.id AND a.root_ended_at IS NOT NULL)
ORDER BY id
LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
