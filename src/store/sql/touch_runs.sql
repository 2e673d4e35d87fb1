-- Postpones the time at which silent runs count as abandoned. It adds an eighth to the timeout,
-- so that a run with an event in every batch is not updated in every batch.
-- $1 ids, $2 the default timeout in ms.
WITH n AS MATERIALIZED (
    SELECT id, now() + coalesce(timeout_ms, $2) * interval '1.125 ms' AS abandon_at
    FROM agent_runs
    WHERE id = ANY ($1::uuid[]) AND (status = 'running') IS TRUE
)
UPDATE agent_runs r SET abandon_at = n.abandon_at FROM n WHERE r.id = n.id
