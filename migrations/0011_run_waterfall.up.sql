-- run_waterfall: a run drawn as text, for psql:
--   SELECT run_waterfall('…');      -- or run_waterfall('…', 100) on a wide screen
--
-- The tree of steps with messages, approvals and sub-runs in it, each with a
-- bar on the run's time axis, its duration, tokens and error. What is still
-- open is measured to now. Reads run_summary and run_timeline with the
-- reader's rights: what he may not see is not drawn.
--
-- Rollback: 0011_run_waterfall.down.sql

-- 850 ms, 12.4 s, 2m 05s, 3h 07m, 2d 03h.
CREATE FUNCTION public.waterfall_ms(ms bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN ms < 1000 THEN ms || ' ms'
    WHEN ms < 59950 THEN round(ms / 1000.0, 1) || ' s'
    WHEN ms < 3600000 THEN ms / 60000 || 'm ' || lpad((ms / 1000 % 60)::text, 2, '0') || 's'
    WHEN ms < 86400000 THEN ms / 3600000 || 'h ' || lpad((ms / 60000 % 60)::text, 2, '0') || 'm'
    ELSE ms / 86400000 || 'd ' || lpad((ms / 3600000 % 24)::text, 2, '0') || 'h'
  END
$function$;
COMMENT ON FUNCTION public.waterfall_ms(bigint) IS 'Milliseconds for people, for run_waterfall';

-- 812, 5.1k, 128k, 2.4M.
CREATE FUNCTION public.waterfall_count(n bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN n < 1000 THEN n::text
    WHEN n < 99950 THEN round(n / 1000.0, 1) || 'k'
    WHEN n < 999500 THEN round(n / 1000.0) || 'k'
    ELSE round(n / 1000000.0, 1) || 'M'
  END
$function$;
COMMENT ON FUNCTION public.waterfall_count(bigint) IS 'A count for people, for run_waterfall';

-- One line of text in `width` columns of a terminal: white space and control
-- characters become single spaces, what is too long ends in an ellipsis, the
-- rest is filled up where `fill` says so. East Asian characters and emoji take
-- two columns, combining ones none.
CREATE FUNCTION public.waterfall_fit(content text, width integer, fill boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $function$
DECLARE
  wide CONSTANT text := '[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\U0001f300-\U0001faff\U00020000-\U0003fffd]';
  none CONSTANT text := '[\u0300-\u036f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]';
  -- Nothing beyond this can show, however narrow the characters.
  line text := btrim(regexp_replace(left(content, 4 * width + 16), '[\s\u0001-\u001f\u007f-\u009f]+', ' ', 'g'));
  columns integer;
  shown text;
BEGIN
  -- Direction and zero-width marks would shift the columns that follow.
  line := regexp_replace(line, none, '', 'g');
  shown := left(line, width);
  columns := 2 * length(shown) - length(regexp_replace(shown, wide, '', 'g'));
  IF columns > width OR length(line) > length(shown) THEN
    WHILE columns > width - 1 AND shown <> '' LOOP
      columns := columns - CASE WHEN right(shown, 1) ~ wide THEN 2 ELSE 1 END;
      shown := left(shown, -1);
    END LOOP;
    shown := shown || '…';
    columns := columns + 1;
  END IF;
  RETURN shown || CASE WHEN fill THEN repeat(' ', width - columns) ELSE '' END;
END
$function$;
COMMENT ON FUNCTION public.waterfall_fit(text, integer, boolean) IS
  'Text as one line of at most so many terminal columns, for run_waterfall';

-- A bar of `width` cells for the time from `since` to `until` on an axis of
-- `span` milliseconds. `brush`: bar (exact to an eighth of a cell at its end),
-- wait, point. ‹ and › stand for what lies outside, ▸ for what goes on.
CREATE FUNCTION public.waterfall_bar(
  since bigint, until bigint, span bigint, width integer, brush text, goes_on boolean
) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $function$
DECLARE
  first_cell integer := greatest(0, least(width - 1, floor(since::numeric / span * width)));
  eighths integer := greatest(1, least((width - first_cell) * 8, round(until::numeric / span * width * 8) - first_cell * 8));
  bar text;
BEGIN
  IF brush = 'point' THEN
    bar := '◆';
  ELSIF brush = 'wait' THEN
    bar := repeat('░', (eighths + 7) / 8);
  ELSE
    bar := repeat('█', eighths / 8) || substr('▏▎▍▌▋▊▉', eighths % 8, sign(eighths % 8)::integer);
  END IF;
  IF goes_on THEN
    bar := left(bar, -1) || '▸';
  ELSIF since > span OR until > span THEN
    bar := left(bar, -1) || '›';
  END IF;
  IF since < 0 THEN
    bar := '‹' || substr(bar, 2);
  END IF;
  RETURN rpad(repeat(' ', first_cell) || bar, width);
END
$function$;
COMMENT ON FUNCTION public.waterfall_bar(bigint, bigint, bigint, integer, text, boolean) IS
  'A bar on a time axis, for run_waterfall';

CREATE FUNCTION public.run_waterfall(run_id uuid, width integer DEFAULT 60) RETURNS SETOF text
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
COMMENT ON FUNCTION public.run_waterfall(uuid, integer) IS
  'A run drawn as text, line by line: SELECT run_waterfall(run_id[, cells of the bar]). ✓ ✗ … done, failed, open; '
  '█ step or sub-run, ░ waiting for approval, ◆ message; ▸ goes on, ‹ › outside the run''s time; tokens are input→output';
