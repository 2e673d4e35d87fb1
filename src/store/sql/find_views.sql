-- Finds steps of final runs that may describe one call. $1 ids of locked runs.
-- Of each row, `tie` says what it tells:
-- above: a call of the class `class`, or other work between calls (NULL), and the step above it.
-- The daemon goes up from each call: if the nearest step above it that is neither a chain nor
-- other work is a call of the same class, they are nested.
-- same: both calls have the id that a provider or a model gave one call, their times overlap, and
-- two instrumentations report them.
-- within: a server's view of a tool call (view -3) is within the time of a tool call.
-- Each step is visited once, however many calls are below it. No two sets of rows are joined
-- without an index: a run may have any number of calls, and all of them may have one id and one
-- time. So a call is compared with the next 8 calls of its id, and a server's view with the tool
-- calls among the 32 that began before it. IS TRUE keeps the planner from the index on run_id, so
-- that it finds a step by id and not among all steps of its run.
WITH RECURSIVE call AS MATERIALIZED (
    SELECT s.run_id, s.id, s.step_type, s.parent_step_id, s.named_parent_step_id,
           s.metadata #>> '{otel,call}' AS key, s.metadata #>> '{otel,dialect}' AS dialect,
           s.kind IS NOT DISTINCT FROM 'embedding' AS embeds, s.view IS NOT DISTINCT FROM -3 AS serves,
           s.created_at AS started_at,
           -- The end of a step that was closed with its run is a guess.
           coalesce(CASE WHEN s.closed_with_run IS NULL THEN s.ended_at END, s.created_at) AS ended_at
    FROM agent_runs r
    JOIN agent_steps s ON s.run_id = r.id
    WHERE r.id = ANY ($1::uuid[]) AND r.status IS DISTINCT FROM 'running'
      AND s.step_type IN ('llm_call', 'tool_call')
), above AS (
    SELECT run_id, parent_step_id AS id
    FROM call
    WHERE named_parent_step_id IS NOT NULL AND parent_step_id IS NOT NULL
    UNION
    SELECT a.run_id, p.parent_step_id
    FROM above a
    JOIN agent_steps p ON p.id = a.id AND (p.run_id = a.run_id) IS TRUE
    WHERE p.step_type = 'other' AND p.parent_step_id IS NOT NULL
), keyed AS (
    SELECT c.*, array_agg(id) OVER next AS next_ids, array_agg(dialect) OVER next AS next_dialects,
           array_agg(started_at) OVER next AS next_starts, array_agg(ended_at) OVER next AS next_ends
    FROM call c
    WHERE key IS NOT NULL
    WINDOW next AS (PARTITION BY run_id, step_type, key ORDER BY started_at, id
                    ROWS BETWEEN 1 FOLLOWING AND 8 FOLLOWING)
), served AS (
    SELECT c.*, array_agg(id) OVER before AS before_ids, array_agg(serves) OVER before AS before_serve,
           array_agg(ended_at) OVER before AS before_ends
    FROM call c
    WHERE step_type = 'tool_call' AND run_id = ANY (ARRAY(SELECT DISTINCT run_id FROM call WHERE serves))
    WINDOW before AS (PARTITION BY run_id ORDER BY started_at, serves, id
                      ROWS BETWEEN 32 PRECEDING AND 1 PRECEDING)
)
SELECT id, parent_step_id AS other, 'above' AS tie,
       CASE WHEN embeds THEN step_type || ' embedding' ELSE step_type END AS class
FROM call
WHERE named_parent_step_id IS NOT NULL AND parent_step_id IS NOT NULL
UNION ALL
-- Nothing is sought above a call whose parent is no alias.
SELECT p.id, CASE WHEN p.step_type = 'other' OR p.named_parent_step_id IS NOT NULL THEN p.parent_step_id END, 'above',
       CASE WHEN p.step_type = 'other' THEN NULL
            WHEN p.kind = 'embedding' THEN p.step_type || ' embedding'
            ELSE p.step_type END
FROM above a
JOIN agent_steps p ON p.id = a.id AND (p.run_id = a.run_id) IS TRUE
WHERE p.step_type IN ('other', 'llm_call', 'tool_call')
UNION ALL
SELECT a.id, b.id, 'same', NULL
FROM keyed a
CROSS JOIN LATERAL unnest(a.next_ids, a.next_dialects, a.next_starts, a.next_ends)
    AS b (id, dialect, started_at, ended_at)
WHERE a.dialect <> b.dialect AND a.started_at < b.ended_at AND b.started_at < a.ended_at
UNION ALL
SELECT a.id, b.id, 'within', NULL
FROM served a
CROSS JOIN LATERAL unnest(a.before_ids, a.before_serve, a.before_ends) AS b (id, serves, ended_at)
WHERE a.serves AND NOT b.serves AND a.ended_at <= b.ended_at
