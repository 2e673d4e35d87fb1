-- Locks runs that were silent for longer than their timeout, and that nobody else works on.
-- rooted: the trace has a root that is not a step. That root arrived when the run did not exist or
-- was not seen. It is a real end of the run, so the sweeper uses it instead of abandoning the run.
-- $1 how many at most.
SELECT id,
       EXISTS (SELECT FROM agent_step_aliases a WHERE a.run_id = r.id AND a.root_ended_at IS NOT NULL) AS rooted
FROM agent_runs r
WHERE status = 'running' AND abandon_at < now() AND settle_at IS NULL
ORDER BY abandon_at
LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
