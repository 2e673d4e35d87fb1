-- run_timeline: one row per step, message, token count and approval of a run,
-- in time order, with its place in the tree. Read it run by run:
--   SELECT * FROM run_timeline WHERE run_id = … ORDER BY position;
--
-- Rollback: 0010_run_timeline.down.sql

-- The depth of each step of a run. A function of its own for its settings: it
-- walks the tree level by level with hash joins whatever the statistics say,
-- so that a run of 20,000 steps does not become 20,000 × 20,000 comparisons.
CREATE FUNCTION public.run_step_tree(run_id uuid)
RETURNS TABLE (step_id uuid, depth integer, flag text)
LANGUAGE sql STABLE ROWS 1000
SET enable_nestloop = off
SET enable_mergejoin = off
SET jit = off
SET work_mem = '32MB'
AS $function$
  WITH RECURSIVE step AS MATERIALIZED (
    SELECT s.id, s.parent_step_id
    FROM public.agent_steps AS s
    WHERE s.run_id = $1
  ),
  root AS MATERIALIZED (
    SELECT s.id, CASE WHEN s.parent_step_id IS NOT NULL THEN 'parent_missing' END AS flag
    FROM step AS s
    LEFT JOIN step AS parent ON parent.id = s.parent_step_id
    WHERE parent.id IS NULL
  ),
  tree AS (
    SELECT root.id, 0 AS depth, root.flag
    FROM root
    UNION ALL
    SELECT child.id, parent.depth + 1, NULL
    FROM tree AS parent
    JOIN step AS child ON child.parent_step_id = parent.id
  )
  -- What no root leads to is part of a cycle, or hangs off one.
  SELECT step.id, coalesce(tree.depth, 0), CASE WHEN tree.id IS NULL THEN 'parent_cycle' ELSE tree.flag END
  FROM step
  LEFT JOIN tree ON tree.id = step.id
$function$;
COMMENT ON FUNCTION public.run_step_tree(uuid) IS
  'Depth of each step of a run: 0 at the top, which is also where steps go whose parent is missing (flag parent_missing) '
  'or that are their own ancestors (parent_cycle)';

CREATE VIEW run_timeline WITH (security_invoker = true) AS
SELECT
  r.id AS run_id,
  placed.position,
  placed.item,
  placed.id,
  placed.step_id,
  placed.parent_step_id,
  placed.depth,
  placed.at,
  placed.ended_at,
  public.ms_between(coalesce(r.started_at, placed.earliest), placed.at) AS offset_ms,
  placed.duration_ms,
  placed.kind,
  placed.step_type,
  placed.name,
  placed.status,
  placed.model,
  placed.error,
  placed.tokens_input,
  placed.tokens_output,
  placed.tokens_cache_read,
  placed.tokens_cache_write,
  placed.tokens_reasoning,
  placed.input,
  placed.output,
  placed.content,
  placed.thinking,
  placed.tool_calls,
  placed.metadata,
  placed.seq,
  placed.decided_by,
  array_remove(
    placed.flags
      || CASE WHEN placed.at < r.started_at THEN 'before_run' END
      || CASE WHEN placed.at > r.ended_at THEN 'after_run' END,
    NULL
  ) AS flags
FROM agent_runs AS r
CROSS JOIN LATERAL (
  SELECT
    i.*,
    row_number() OVER (ORDER BY i.at, i.depth, i.item_rank, i.seq, i.id) AS position,
    min(i.at) OVER () AS earliest
  FROM (
    -- A FULL join, because it can only be done by hashing or merging; every
    -- step of the tree is among the items, so nothing is added by it.
    SELECT
      e.item,
      e.item_rank,
      e.id,
      e.step_id,
      e.parent_step_id,
      CASE WHEN e.item = 'step' THEN tree.depth ELSE coalesce(tree.depth + 1, 0) END AS depth,
      e.at,
      e.ended_at,
      e.duration_ms,
      e.kind,
      e.step_type,
      e.name,
      e.status,
      e.model,
      e.error,
      e.tokens_input,
      e.tokens_output,
      e.tokens_cache_read,
      e.tokens_cache_write,
      e.tokens_reasoning,
      e.input,
      e.output,
      e.content,
      e.thinking,
      e.tool_calls,
      e.metadata,
      e.seq,
      e.decided_by,
      e.flags || CASE
        WHEN e.item = 'step' THEN tree.flag
        WHEN e.step_id IS NOT NULL AND tree.step_id IS NULL THEN 'step_missing'
      END AS flags
    FROM (
      SELECT
        'step'::text AS item,
        1 AS item_rank,
        s.id,
        s.id AS step_id,
        s.parent_step_id,
        began.at,
        coalesce(
          s.ended_at,
          CASE WHEN s.status IS DISTINCT FROM 'running' THEN began.at + s.duration_ms * INTERVAL '1 millisecond' END
        ) AS ended_at,
        CASE
          WHEN s.duration_ms IS NOT NULL THEN s.duration_ms::bigint
          WHEN s.ended_at < s.started_at THEN 0
          ELSE public.ms_between(s.started_at, s.ended_at)
        END AS duration_ms,
        coalesce(s.kind, s.step_type) AS kind,
        s.step_type,
        s.name,
        s.status,
        s.model,
        s.error,
        NULL::bigint AS tokens_input,
        NULL::bigint AS tokens_output,
        NULL::bigint AS tokens_cache_read,
        NULL::bigint AS tokens_cache_write,
        NULL::bigint AS tokens_reasoning,
        s.input,
        s.output,
        NULL::text AS content,
        NULL::text AS thinking,
        NULL::jsonb AS tool_calls,
        s.metadata,
        NULL::bigint AS seq,
        NULL::uuid AS decided_by,
        ARRAY[
          CASE WHEN s.status = 'running' THEN 'open' END,
          CASE WHEN s.closed_with_run THEN 'closed_with_run' END,
          CASE WHEN s.ended_at < s.started_at THEN 'ended_before_started' END
        ] AS flags
      FROM agent_steps AS s
      CROSS JOIN LATERAL (
        SELECT coalesce(
          s.started_at,
          -- Unless that were before the first time there is.
          CASE WHEN s.ended_at >= '4714-11-24 00:00+00 BC'::timestamptz + took THEN s.ended_at - took END,
          s.created_at
        ) AS at
        FROM (SELECT s.duration_ms * INTERVAL '1 millisecond' AS took) AS known
      ) AS began
      WHERE s.run_id = r.id
      UNION ALL
      SELECT
        'message', 0, m.id, m.step_id, NULL, m.created_at, NULL, NULL, m.role, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, m.content, m.thinking, m.tool_calls, m.metadata, m.seq, NULL,
        ARRAY[]::text[]
      FROM agent_messages AS m
      WHERE m.run_id = r.id
      UNION ALL
      SELECT
        'tokens', 3, c.id, c.step_id, NULL, c.created_at, NULL, NULL, CASE WHEN c.rollup THEN 'rollup' ELSE 'usage' END,
        NULL, NULL, NULL, c.model, NULL, c.input, c.output, c.cache_read, c.cache_write, c.reasoning,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        ARRAY[CASE WHEN c.rollup THEN 'rollup' END]
      FROM agent_token_counts AS c
      WHERE c.run_id = r.id
      UNION ALL
      SELECT
        'approval', 2, a.id, a.step_id, NULL, a.created_at, decided.at,
        CASE WHEN decided.at < a.created_at THEN 0 ELSE public.ms_between(a.created_at, decided.at) END,
        a.action_type, NULL, a.action_description, a.status, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        a.action_data, NULL, a.notes, NULL, NULL, a.metadata, NULL, a.decided_by,
        ARRAY[CASE WHEN a.status = 'pending' THEN 'open' END]
      FROM approvals AS a
      CROSS JOIN LATERAL (
        SELECT CASE
          WHEN a.status IS DISTINCT FROM 'pending'
            THEN coalesce(a.decided_at, CASE WHEN a.status = 'expired' THEN a.expires_at END)
        END AS at
      ) AS decided
      WHERE a.run_id = r.id
    ) AS e
    FULL JOIN public.run_step_tree(r.id) AS tree ON tree.step_id = e.step_id
  ) AS i
) AS placed;

COMMENT ON VIEW run_timeline IS
  'One row per step, message, token count and approval of a run: SELECT * FROM run_timeline WHERE run_id = … ORDER BY position';
COMMENT ON COLUMN run_timeline.position IS
  'Place in the run from 1: by time, then parents before what they hold, then message, step, approval, tokens, then seq and id';
COMMENT ON COLUMN run_timeline.item IS 'What the row is: step, message, tokens, approval';
COMMENT ON COLUMN run_timeline.id IS 'Id of the row in agent_steps, agent_messages, agent_token_counts or approvals';
COMMENT ON COLUMN run_timeline.step_id IS 'The step itself, or the one that the message, tokens or approval belong to';
COMMENT ON COLUMN run_timeline.parent_step_id IS 'Of a step: the step that it is part of, known or not';
COMMENT ON COLUMN run_timeline.depth IS
  '0 at the top; a step is one below its parent, anything else one below its step. A missing parent counts as none';
COMMENT ON COLUMN run_timeline.at IS 'When it began or happened, by the client''s clock';
COMMENT ON COLUMN run_timeline.ended_at IS 'Of a step or approval: when it ended or was decided; NULL while open';
COMMENT ON COLUMN run_timeline.offset_ms IS
  'Whole milliseconds from the run''s start (unknown: the earliest row) to at; negative for what came before it';
COMMENT ON COLUMN run_timeline.duration_ms IS 'Of a step or approval: whole milliseconds it took; NULL while open';
COMMENT ON COLUMN run_timeline.kind IS
  'Of a step the source''s kind, else its step_type; of a message its role; of an approval its action_type; of tokens usage or rollup';
COMMENT ON COLUMN run_timeline.name IS 'Of a step its name; of an approval what is to be approved';
COMMENT ON COLUMN run_timeline.status IS 'Of a step running, completed, failed; of an approval pending, approved, rejected, expired';
COMMENT ON COLUMN run_timeline.tokens_input IS
  'Of tokens: input, cached ones included. Leave out kind = rollup when adding up';
COMMENT ON COLUMN run_timeline.tokens_output IS 'Of tokens: output, reasoning included';
COMMENT ON COLUMN run_timeline.tokens_cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN run_timeline.tokens_cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN run_timeline.tokens_reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN run_timeline.input IS 'Of a step its input, of an approval its action_data';
COMMENT ON COLUMN run_timeline.output IS 'Of a step its output';
COMMENT ON COLUMN run_timeline.content IS 'Of a message its text, of an approval the notes of its decision';
COMMENT ON COLUMN run_timeline.thinking IS 'Of a message: the model''s reasoning that came with it';
COMMENT ON COLUMN run_timeline.seq IS 'Of a message: its place among the run''s messages, by the client';
COMMENT ON COLUMN run_timeline.flags IS
  'What a reader should know: open, closed_with_run, ended_before_started, parent_missing, parent_cycle, step_missing, rollup, '
  'before_run, after_run';
