-- Locks silent runs, as abandon_runs.sql finds them, whose trace has a root that is not a step.
-- That root arrived when the run did not exist or was not seen. It is a real end of the run, so
-- the sweeper uses it instead of abandoning the run. $1 how many at most.
SELECT id
FROM agent_runs r
WHERE status = 'running' AND abandon_at < now()
  AND EXISTS (SELECT FROM agent_step_aliases a WHERE a.run_id = r.id AND a.root_ended_at IS NOT NULL)
ORDER BY id
LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
