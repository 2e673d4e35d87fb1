-- Closes the open steps of runs that ended, and marks them. If a better end of a run arrives
-- later, its marked steps follow it. $1 ids of final runs.
UPDATE agent_steps s
SET status = m.status, ended_at = m.ended_at, closed_with_run = true,
    -- An interval cannot hold every difference of two timestamps, so subtract epochs.
    duration_ms = least(floor((extract(epoch FROM m.ended_at) - extract(epoch FROM s.created_at)) * 1000),
                        2147483647)::integer
FROM (
    SELECT o.run_id, o.id, r.status, greatest(r.ended_at, o.created_at) AS ended_at
    FROM agent_runs r
    JOIN agent_steps o ON o.run_id = r.id AND (o.status = 'running' OR o.closed_with_run)
    WHERE r.id = ANY ($1::uuid[])
) m
WHERE s.id = m.id AND (s.run_id = m.run_id) IS TRUE
  AND (s.closed_with_run, s.status, s.ended_at) IS DISTINCT FROM (true, m.status, m.ended_at)
