-- Reopens runs that were closed as abandoned and turn out to be alive. $1 ids, $2 the default
-- timeout in ms. align_steps.sql follows.
UPDATE agent_runs
SET status = 'running', finalized_by = NULL, ended_at = NULL, error = NULL,
    total_tokens_input = NULL, total_tokens_output = NULL, changed_at = now(),
    started_at = CASE WHEN start_event_at IS NOT NULL THEN started_at ELSE root_started_at END,
    abandon_at = now() + coalesce(timeout_ms, $2) * interval '1.125 ms'
WHERE id = ANY ($1::uuid[]) AND finalized_by = 'abandoned'
