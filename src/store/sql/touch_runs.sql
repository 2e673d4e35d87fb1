-- Postpones the time at which silent runs count as abandoned. It adds an eighth to the timeout,
-- so that a run with an event in every batch is not updated in every batch.
-- $1 ids, $2 the default timeout in ms.
UPDATE agent_runs
SET abandon_at = now() + coalesce(timeout_ms, $2) * interval '1.125 ms'
WHERE id = ANY ($1::uuid[]) AND status = 'running'
