-- Reopens runs that were closed as abandoned and turn out to be alive. $1 ids, $2 the default
-- timeout in ms. align_steps.sql follows.
WITH n AS MATERIALIZED (
    SELECT id, now() + coalesce(timeout_ms, $2) * interval '1.125 ms' AS abandon_at
    FROM agent_runs
    WHERE id = ANY ($1::uuid[]) AND finalized_by = 'abandoned'
)
UPDATE agent_runs r
SET status = 'running', finalized_by = NULL, ended_at = NULL, error = NULL,
    total_tokens_input = NULL, total_tokens_output = NULL, changed_at = now(),
    started_at = CASE WHEN r.start_event_at IS NOT NULL THEN r.started_at ELSE r.root_started_at END,
    abandon_at = n.abandon_at
FROM n
WHERE r.id = n.id
