-- Undoes 0013_bridged_spans: drops the aliases and the added columns with their
-- data; policies, grants and indexes go with them. What came of them stays:
-- parents that were resolved, fields that were observed.

CREATE OR REPLACE FUNCTION public.run_step_tree(run_id uuid)
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

DROP FUNCTION IF EXISTS public.merge_observed(jsonb, jsonb);

DROP TABLE IF EXISTS agent_step_aliases;

ALTER TABLE agent_messages DROP COLUMN IF EXISTS sighting;

ALTER TABLE agent_steps
  DROP COLUMN IF EXISTS view,
  DROP COLUMN IF EXISTS other_view,
  DROP COLUMN IF EXISTS details_view,
  DROP COLUMN IF EXISTS named_parent_step_id;

ALTER TABLE agent_runs
  DROP COLUMN IF EXISTS root_started_at,
  DROP COLUMN IF EXISTS output_observed,
  DROP COLUMN IF EXISTS status_observed,
  DROP COLUMN IF EXISTS observed;
