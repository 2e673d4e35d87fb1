-- Closes those of some runs that were silent for longer than their timeout, at their latest event.
-- The database's clock decides, because the clients' clocks may be wrong. Any later event reopens
-- the run, and any real end replaces this one. $1 runs. They need not be locked: an event that
-- comes meanwhile moves abandon_at, and then nothing is written.
UPDATE agent_runs r
SET status = 'failed', finalized_by = 'abandoned', abandon_at = NULL, changed_at = now(),
    error = 'abandoned: no event came for too long',
    ended_at = m.last_at
FROM (
    -- A score is no part of its run. Its time counts only if nothing else of the run is known.
    SELECT o.id, coalesce(greatest(
        o.last_event_at,
        -- The end of a step that was closed with its run is a guess.
        (SELECT max(greatest(created_at, CASE WHEN closed_with_run IS NULL THEN ended_at END))
         FROM agent_steps WHERE run_id = o.id),
        (SELECT max(created_at) FROM agent_messages WHERE run_id = o.id AND sighting IS NULL),
        (SELECT max(created_at) FROM agent_token_counts WHERE run_id = o.id),
        (SELECT max(greatest(created_at, decided_at)) FROM approvals WHERE run_id = o.id)),
        (SELECT max(created_at) FROM agent_scores WHERE run_id = o.id)) AS last_at
    FROM agent_runs o
    WHERE o.id = ANY ($1::uuid[]) AND o.status = 'running' AND o.abandon_at < now()
) m
WHERE r.id = m.id AND r.status = 'running' AND r.abandon_at < now()
RETURNING r.id
