-- Closes runs that were silent for longer than their timeout, at their latest event. The
-- database's clock decides, because the clients' clocks may be wrong. Any later event reopens
-- the run, and any real end replaces this one. $1 how many at most.
WITH silent AS (
    SELECT id
    FROM agent_runs
    WHERE status = 'running' AND abandon_at < now()
    ORDER BY id
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE agent_runs r
SET status = 'failed', finalized_by = 'abandoned', abandon_at = NULL,
    error = 'abandoned: no event came for too long',
    ended_at = m.last_at
FROM silent s
CROSS JOIN LATERAL (
    -- A score is no part of its run. Its time counts only if nothing else of the run is known.
    SELECT coalesce(greatest(
        o.last_event_at,
        (SELECT max(greatest(created_at, ended_at)) FROM agent_steps WHERE run_id = o.id),
        (SELECT max(created_at) FROM agent_messages WHERE run_id = o.id AND sighting IS NULL),
        (SELECT max(created_at) FROM agent_token_counts WHERE run_id = o.id),
        (SELECT max(greatest(created_at, decided_at)) FROM approvals WHERE run_id = o.id)),
        (SELECT max(created_at) FROM agent_scores WHERE run_id = o.id)) AS last_at
    FROM agent_runs o WHERE o.id = s.id
) m
WHERE r.id = s.id
RETURNING r.id
