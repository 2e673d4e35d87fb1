-- Finds steps of final runs that may describe one call. $1 ids of locked runs.
-- nested: the nearest step above a call that is neither a chain nor other work is a call of the
-- same type. same: both calls have the id that a provider or a model gave one call, their times
-- overlap, and two instrumentations report them. within: a server's view of a tool call (view -3)
-- is within the time of a tool call of which nothing was traced below the caller.
-- No join is without an index. IS TRUE keeps the planner from the index on run_id, so that it
-- finds a step by id and not among all steps of its run.
WITH RECURSIVE call AS MATERIALIZED (
    SELECT s.run_id, s.id, s.step_type, s.parent_step_id, s.named_parent_step_id,
           s.metadata #>> '{otel,call}' AS key, s.metadata #>> '{otel,dialect}' AS dialect,
           s.kind IS NOT DISTINCT FROM 'embedding' AS embeds, s.view,
           s.created_at AS started_at,
           -- The end of a step that was closed with its run is a guess.
           coalesce(CASE WHEN s.closed_with_run IS NULL THEN s.ended_at END, s.created_at) AS ended_at
    FROM agent_runs r
    JOIN agent_steps s ON s.run_id = r.id
    WHERE r.id = ANY ($1::uuid[]) AND r.status IS DISTINCT FROM 'running'
      AND s.step_type IN ('llm_call', 'tool_call')
), up AS (
    SELECT run_id, id, step_type, embeds, parent_step_id AS above, 1 AS depth
    FROM call
    WHERE named_parent_step_id IS NOT NULL AND parent_step_id IS NOT NULL
    UNION ALL
    SELECT u.run_id, u.id, u.step_type, u.embeds, p.parent_step_id, u.depth + 1
    FROM up u
    JOIN agent_steps p ON p.id = u.above AND (p.run_id = u.run_id) IS TRUE
    WHERE p.step_type = 'other' AND p.parent_step_id IS NOT NULL AND u.depth < 64
), keyed AS MATERIALIZED (
    -- Most ids have one dialect. To compare such steps in pairs would cost the square of them.
    SELECT c.*
    FROM call c
    JOIN (SELECT run_id, key, count(DISTINCT dialect) AS dialects FROM call GROUP BY run_id, key) k
      ON k.run_id = c.run_id AND k.key = c.key
    WHERE k.dialects > 1
)
SELECT u.id, p.id AS other, 'nested' AS tie
FROM up u
JOIN agent_steps p ON p.id = u.above AND (p.run_id = u.run_id) IS TRUE
WHERE p.step_type = u.step_type AND p.id <> u.id AND (p.kind IS NOT DISTINCT FROM 'embedding') = u.embeds
UNION ALL
SELECT a.id, b.id, 'same'
FROM keyed a
JOIN keyed b ON b.run_id = a.run_id AND b.key = a.key
WHERE a.step_type = b.step_type AND a.id < b.id AND a.dialect <> b.dialect
  AND a.started_at < b.ended_at AND b.started_at < a.ended_at
UNION ALL
SELECT a.id, b.id, 'within'
FROM call a
JOIN call b ON b.run_id = a.run_id AND b.step_type = a.step_type
WHERE a.view = -3 AND a.step_type = 'tool_call' AND b.view IS DISTINCT FROM -3
  AND b.started_at <= a.started_at AND a.ended_at <= b.ended_at
