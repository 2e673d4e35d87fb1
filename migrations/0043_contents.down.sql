-- Undoes 0043_contents: puts the values back into the steps, and drops what held them.

-- The lesser views of a step hold theirs as texts (merge_steps.sql): the details at 7, the end at 3.
UPDATE agent_steps AS s
SET input = public.content_value(s.run_id, s.input),
    output = public.content_value(s.run_id, s.output),
    other_view = CASE WHEN s.other_view IS NOT NULL THEN jsonb_set(
      jsonb_set(s.other_view, '{0,7}', coalesce(to_jsonb(
        public.content_value(s.run_id, (s.other_view #>> '{0,7}')::jsonb)::text), 'null'), false),
      '{1,3}', coalesce(to_jsonb(
        public.content_value(s.run_id, (s.other_view #>> '{1,3}')::jsonb)::text), 'null'), false) END
WHERE s.run_id IN (SELECT c.run_id FROM agent_contents AS c)
  AND (CASE WHEN pg_column_size(s.input) < 128 THEN s.input ? '$content' END
    OR CASE WHEN pg_column_size(s.output) < 128 THEN s.output ? '$content' END
    OR s.other_view #>> '{0,7}' LIKE '{"$content": %' OR s.other_view #>> '{1,3}' LIKE '{"$content": %');

CREATE OR REPLACE VIEW run_timeline WITH (security_invoker = true) AS
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
  ) AS flags,
  placed.score_value,
  placed.score_label,
  placed.score_source
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
      END AS flags,
      e.score_value,
      e.score_label,
      e.score_source
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
        ] AS flags,
        NULL::double precision AS score_value,
        NULL::text AS score_label,
        NULL::text AS score_source
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
        ARRAY[]::text[], NULL, NULL, NULL
      FROM agent_messages AS m
      WHERE m.run_id = r.id
      UNION ALL
      SELECT
        'tokens', 3, c.id, c.step_id, NULL, c.created_at, NULL, NULL, CASE WHEN c.rollup THEN 'rollup' ELSE 'usage' END,
        NULL, NULL, NULL, c.model, NULL, c.input, c.output, c.cache_read, c.cache_write, c.reasoning,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        ARRAY[CASE WHEN c.rollup THEN 'rollup' END], NULL, NULL, NULL
      FROM agent_token_counts AS c
      WHERE c.run_id = r.id
      UNION ALL
      SELECT
        'approval', 2, a.id, a.step_id, NULL, a.created_at, decided.at,
        CASE WHEN decided.at < a.created_at THEN 0 ELSE public.ms_between(a.created_at, decided.at) END,
        a.action_type, NULL, a.action_description, a.status, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        a.action_data, NULL, a.notes, NULL, NULL, a.metadata, NULL, a.decided_by,
        ARRAY[CASE WHEN a.status = 'pending' THEN 'open' END], NULL, NULL, NULL
      FROM approvals AS a
      CROSS JOIN LATERAL (
        SELECT CASE
          WHEN a.status IS DISTINCT FROM 'pending'
            THEN coalesce(a.decided_at, CASE WHEN a.status = 'expired' THEN a.expires_at END)
        END AS at
      ) AS decided
      WHERE a.run_id = r.id
      UNION ALL
      -- The drawing shows name and kind.
      SELECT
        'score', 4, c.id, c.step_id, NULL, c.created_at, NULL, NULL, coalesce(c.label, c.value::text, c.source), NULL,
        c.name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, c.comment, NULL, NULL, c.metadata, NULL,
        NULL, ARRAY[]::text[], c.value, c.label, c.source
      FROM agent_scores AS c
      WHERE c.run_id = r.id
    ) AS e
    FULL JOIN public.run_step_tree(r.id) AS tree ON tree.step_id = e.step_id
  ) AS i
) AS placed;

CREATE OR REPLACE FUNCTION public.run_waterfall(run_id uuid, width integer DEFAULT 60) RETURNS SETOF text
LANGUAGE sql STABLE ROWS 200
SET enable_nestloop = off
SET enable_mergejoin = off
SET jit = off
SET work_mem = '32MB'
AS $function$
  WITH RECURSIVE run AS MATERIALIZED (
    SELECT
      s.*,
      CASE s.status WHEN 'completed' THEN '✓' WHEN 'failed' THEN '✗' WHEN 'running' THEN '…' ELSE ' ' END AS mark,
      greatest(8, least(400, coalesce($2, 60))) AS cells,
      36 AS label_columns
    FROM public.run_summary AS s
    WHERE s.run_id = $1
  ),
  item AS MATERIALIZED (
    SELECT t.* FROM public.run_timeline AS t WHERE t.run_id = $1
  ),
  used AS (
    SELECT i.step_id, sum(i.tokens_input) AS input, sum(i.tokens_output) AS output
    FROM item AS i
    WHERE i.item = 'tokens' AND i.kind = 'usage' AND i.step_id IS NOT NULL
    GROUP BY i.step_id
  ),
  -- Where the axis ends: with the run or, while it is live, now; where neither
  -- is known, with the last thing in it.
  axis AS MATERIALIZED (
    SELECT greatest(1, CASE
      WHEN r.duration_ms > 0 THEN r.duration_ms
      ELSE greatest(r.running_ms, (SELECT max(i.offset_ms + coalesce(i.duration_ms, 0)) FROM item AS i))
    END) AS span
    FROM run AS r
  ),
  node AS MATERIALIZED (
    SELECT
      n.*,
      row_number() OVER (ORDER BY n.offset_ms, n.position, n.id)::integer AS place,
      lead(n.id) OVER (PARTITION BY n.parent_id ORDER BY n.offset_ms, n.position, n.id) IS NULL AS is_last
    FROM (
      SELECT
        i.item,
        i.id,
        CASE WHEN i.depth > 0 THEN CASE WHEN i.item = 'step' THEN i.parent_step_id ELSE i.step_id END END AS parent_id,
        i.position,
        i.offset_ms,
        CASE
          WHEN 'open' = ANY (i.flags) THEN greatest(0, axis.span - i.offset_ms)
          WHEN i.item <> 'message' THEN i.duration_ms
        END AS duration_ms,
        'open' = ANY (i.flags) AND run.status = 'running' AS goes_on,
        CASE
          WHEN 'open' = ANY (i.flags) THEN '…'
          WHEN i.status IN ('completed', 'approved') THEN '✓'
          WHEN i.status IN ('failed', 'rejected', 'expired') THEN '✗'
          ELSE ' '
        END AS mark,
        CASE
          WHEN i.item = 'message' THEN i.kind || ': ' || coalesce(nullif(i.content, ''), nullif(i.thinking, ''), i.tool_calls::text, '')
          WHEN i.item = 'approval' THEN 'approval: ' || coalesce(i.name || ' (' || i.kind || ')', i.kind)
          ELSE coalesce(i.name, i.model, '?') || coalesce(
            ' (' || CASE i.kind WHEN 'tool_call' THEN 'tool' WHEN 'tool_result' THEN 'result' WHEN 'llm_call' THEN 'llm' ELSE i.kind END || ')', ''
          )
        END AS label,
        used.input AS tokens_input,
        used.output AS tokens_output,
        concat_ws(' · ',
          CASE WHEN i.item = 'approval' THEN concat_ws(': ', i.status, nullif(i.content, '')) END,
          i.error,
          CASE WHEN 'closed_with_run' = ANY (i.flags) THEN 'closed with the run' END,
          CASE WHEN 'ended_before_started' = ANY (i.flags) THEN 'ended before it started' END,
          CASE WHEN 'parent_cycle' = ANY (i.flags) THEN 'its own ancestor' END,
          CASE WHEN 'parent_missing' = ANY (i.flags) THEN 'parent unknown' END
        ) AS note
      FROM item AS i
      CROSS JOIN run
      CROSS JOIN axis
      LEFT JOIN used ON i.item = 'step' AND used.step_id = i.id
      WHERE i.item <> 'tokens'
      UNION ALL
      -- Runs that this one started.
      SELECT
        'run',
        c.run_id,
        NULL,
        NULL,
        began.offset_ms,
        coalesce(c.duration_ms, greatest(0, axis.span - began.offset_ms)),
        c.status = 'running',
        CASE c.status WHEN 'completed' THEN '✓' WHEN 'failed' THEN '✗' ELSE '…' END,
        '⇢ ' || coalesce(c.name, c.agent_id) || ' (run)',
        c.tokens_input,
        c.tokens_output,
        concat_ws(' · ', c.run_id::text, c.error)
      FROM public.run_summary AS c
      CROSS JOIN run
      CROSS JOIN axis
      CROSS JOIN LATERAL (SELECT public.ms_between(run.first_event_at, c.first_event_at) AS offset_ms) AS began
      WHERE c.parent_run_id = $1 AND c.run_id <> $1
    ) AS n
  ),
  -- Without the text, so that its hash table, built once, fits in memory. A
  -- message may share its id with a step; only steps have children.
  slim AS MATERIALIZED (
    SELECT
      node.item,
      node.id,
      CASE WHEN node.item = 'step' THEN node.id END AS own_id,
      node.parent_id,
      node.place,
      node.is_last
    FROM node
  ),
  -- A join where IS NULL would do: the planner takes its guess for many rows
  -- and hashes `slim` below, once, rather than reading it once per level.
  root AS MATERIALIZED (
    SELECT slim.*
    FROM slim
    LEFT JOIN slim AS parent ON parent.own_id = slim.parent_id
    WHERE parent.own_id IS NULL
  ),
  -- Depth first. Beyond what a screen can show the tree goes flat, or a chain
  -- of n steps would carry n × n path elements.
  tree AS (
    SELECT root.item, root.id, root.own_id, root.place, 1 AS level, ARRAY[root.place] AS path, '' AS branch, '' AS stem
    FROM root
    UNION ALL
    SELECT
      child.item,
      child.id,
      child.own_id,
      child.place,
      parent.level + 1,
      CASE WHEN parent.level < 64 THEN parent.path || child.place ELSE parent.path END,
      CASE
        WHEN parent.level > 8 THEN parent.stem || '┄ '
        ELSE parent.stem || CASE WHEN child.is_last THEN '└─ ' ELSE '├─ ' END
      END,
      CASE
        WHEN parent.level > 8 THEN parent.stem
        ELSE parent.stem || CASE WHEN child.is_last THEN '   ' ELSE '│  ' END
      END
    FROM tree AS parent
    JOIN slim AS child ON child.parent_id = parent.own_id
  ),
  line AS (
    SELECT 1 AS part, NULL::integer[] AS path, 0 AS place, concat_ws(' · ',
      r.mark || ' ' || public.waterfall_fit(coalesce(r.name || ' — ', '') || r.agent_id || ' (' || r.agent_type || ')', 80, false),
      concat_ws(' ',
        r.status,
        CASE WHEN r.finalized_by = 'abandoned' THEN '(abandoned)' END,
        CASE
          WHEN r.status = 'running' THEN 'for ' || public.waterfall_ms(r.running_ms)
          ELSE 'in ' || public.waterfall_ms(r.duration_ms)
        END
      ),
      r.steps || CASE WHEN r.steps = 1 THEN ' step' ELSE ' steps' END
        || CASE WHEN r.failed_steps > 0 THEN ', ' || r.failed_steps || ' failed' ELSE '' END
        || CASE WHEN r.open_steps > 0 THEN ', ' || r.open_steps || ' open' ELSE '' END,
      CASE WHEN num_nonnulls(r.tokens_input, r.tokens_output) > 0 THEN
        'tokens ' || coalesce(public.waterfall_count(r.tokens_input::bigint), '?') || ' in'
        || CASE WHEN r.tokens_cache_read > 0 THEN ' (' || public.waterfall_count(r.tokens_cache_read::bigint) || ' cached)' ELSE '' END
        || ', ' || coalesce(public.waterfall_count(r.tokens_output::bigint), '?') || ' out'
      END,
      CASE WHEN r.waiting_ms > 0 THEN 'waited ' || public.waterfall_ms(r.waiting_ms) END
    ) AS content
    FROM run AS r
    UNION ALL
    SELECT 2, NULL, 0, '  run ' || r.run_id || coalesce(
      ', ' || to_char(r.first_event_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS" UTC"'), ''
    ) || coalesce(', started by run ' || r.parent_run_id, '')
    FROM run AS r
    UNION ALL
    SELECT 3, NULL, 0, '  error: ' || public.waterfall_fit(r.error, 160, false)
    FROM run AS r
    WHERE r.error <> ''
    UNION ALL
    SELECT 4, NULL, 0, repeat(' ', r.label_columns + 3) || '0 '
      || repeat('─', greatest(1, r.cells - length(public.waterfall_ms(axis.span)) - 2)) || ' '
      || public.waterfall_ms(axis.span)
    FROM run AS r
    CROSS JOIN axis
    UNION ALL
    SELECT 5, tree.path, tree.place, rtrim(
      node.mark || ' '
      || tree.branch
      || public.waterfall_fit(node.label, r.label_columns - length(tree.branch), true)
      || '│'
      || public.waterfall_bar(
        node.offset_ms, node.offset_ms + coalesce(node.duration_ms, 0), axis.span, r.cells,
        CASE node.item WHEN 'message' THEN 'point' WHEN 'approval' THEN 'wait' ELSE 'bar' END, node.goes_on
      )
      || '│ '
      || lpad(coalesce(public.waterfall_ms(node.duration_ms), ''), 8)
      || '  '
      || rpad(CASE WHEN num_nonnulls(node.tokens_input, node.tokens_output) > 0 THEN
        coalesce(public.waterfall_count(node.tokens_input::bigint), '?') || '→'
        || coalesce(public.waterfall_count(node.tokens_output::bigint), '?')
      ELSE '' END, 12)
      || public.waterfall_fit(node.note, 120, false)
    )
    FROM tree
    JOIN node ON node.item = tree.item AND node.id = tree.id
    CROSS JOIN run AS r
    CROSS JOIN axis
    UNION ALL
    SELECT 6, NULL, 0, 'no run ' || $1
    WHERE NOT EXISTS (SELECT FROM run)
  )
  SELECT line.content
  FROM line
  ORDER BY line.part, line.path, line.place
$function$;

DROP FUNCTION public.content_value(uuid, jsonb);
DROP FUNCTION public.content_of(uuid, uuid, uuid[]);
DROP TABLE agent_contents;
DROP FUNCTION public.named_run_owned();
DROP FUNCTION public.named_run_read();
DROP FUNCTION public.named_run();
