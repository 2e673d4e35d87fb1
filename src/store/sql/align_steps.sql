-- Closes the open steps of runs that have ended, and marks them. If a better end of a run arrives
-- later, its marked steps follow it; if the run turns out to be alive, they are open again.
-- $1 ids of runs. $2 how many steps at most (NULL: all).
UPDATE agent_steps s
SET status = m.status, ended_at = m.ended_at, closed_with_run = m.closed,
    -- An interval cannot hold every difference of two timestamps, so subtract epochs.
    duration_ms = CASE WHEN m.closed THEN least(
        floor((extract(epoch FROM m.ended_at AT TIME ZONE 'UTC') - extract(epoch FROM s.created_at AT TIME ZONE 'UTC'))
              * 1000), 2147483647)::integer END
FROM (
    SELECT o.run_id, o.id, w.status, w.ended_at, w.closed
    FROM agent_runs r
    JOIN agent_steps o ON o.run_id = r.id AND (o.status = 'running' OR o.closed_with_run)
    CROSS JOIN LATERAL (
        SELECT r.status,
               CASE WHEN r.status <> 'running' THEN greatest(r.ended_at, o.created_at) END AS ended_at,
               CASE WHEN r.status <> 'running' THEN true END AS closed
    ) w
    WHERE r.id = ANY ($1::uuid[])
      AND (o.closed_with_run, o.status, o.ended_at) IS DISTINCT FROM (w.closed, w.status, w.ended_at)
    LIMIT $2::bigint
) m
WHERE s.id = m.id AND (s.run_id = m.run_id) IS TRUE
