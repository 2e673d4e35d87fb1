-- What traces need that are told span by span, each span alone: what the parts
-- of a run tell of it, views of one step, messages seen again in a history, and
-- ids that stand for other steps.
--
-- Columns only add, may be NULL, and are the daemon's own: nothing for readers.
--
-- Rollback: 0013_bridged_spans.down.sql

ALTER TABLE agent_runs
  ADD COLUMN observed JSONB,
  ADD COLUMN output_observed BOOLEAN,
  ADD COLUMN status_observed BOOLEAN,
  ADD COLUMN root_started_at TIMESTAMPTZ;

COMMENT ON COLUMN agent_runs.observed IS
  'Merge state: what RunObserved told, field by field as [rank, microseconds since 2000, value]';
COMMENT ON COLUMN agent_runs.output_observed IS
  'Merge state: true where output is that of observed, and not the end''s own; else NULL';
COMMENT ON COLUMN agent_runs.status_observed IS
  'Merge state: true where a part of the run failed and the end, a root span''s, says that it completed; else NULL';
COMMENT ON COLUMN agent_runs.root_started_at IS 'Merge state: the earliest start that an end told';

ALTER TABLE agent_steps
  ADD COLUMN named_parent_step_id UUID,
  ADD COLUMN details_view SMALLINT,
  ADD COLUMN other_view JSONB,
  ADD COLUMN view SMALLINT;

COMMENT ON COLUMN agent_steps.named_parent_step_id IS
  'Merge state: the parent as the event named it, where that may be an alias; parent_step_id is what it stands for';
COMMENT ON COLUMN agent_steps.details_view IS 'Merge state: whose view the details are, where they are not the end''s; NULL: 0';
COMMENT ON COLUMN agent_steps.other_view IS
  'Merge state: the greatest details and end of a poorer view, and which columns are filled from them';
COMMENT ON COLUMN agent_steps.view IS 'Merge state: whose view the end is; NULL: 0, the full one';

-- Only rows of bridges are in it. They are looked for by a parent that turns
-- out to be an alias.
CREATE INDEX idx_agent_steps_named_parent ON agent_steps(run_id, parent_step_id)
  WHERE named_parent_step_id IS NOT NULL;

ALTER TABLE agent_messages ADD COLUMN sighting BOOLEAN;

COMMENT ON COLUMN agent_messages.sighting IS
  'Merge state: true where the message is known only from a history that repeats it; else NULL';

CREATE TABLE agent_step_aliases (
  id UUID NOT NULL,
  run_id UUID NOT NULL,
  step_id UUID,
  parent_step_id UUID,
  root_started_at TIMESTAMPTZ,
  root_ended_at TIMESTAMPTZ,
  root_status TEXT CHECK (root_status IN ('completed', 'failed')),
  root_error TEXT,
  root_name TEXT,
  run_pending BOOLEAN,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  PRIMARY KEY (run_id, id)
);

CREATE INDEX idx_agent_step_aliases_root ON agent_step_aliases(run_id) WHERE root_ended_at IS NOT NULL;
CREATE INDEX idx_agent_step_aliases_pending ON agent_step_aliases(created_at) WHERE run_pending;

COMMENT ON TABLE agent_step_aliases IS
  'Ids that steps of a run may name as their parent, and what they stand for. Set by StepAliased; parent_step_id of agent_steps '
  'holds what came of it';
COMMENT ON COLUMN agent_step_aliases.id IS 'What others call it';
COMMENT ON COLUMN agent_step_aliases.run_id IS 'The run whose steps call it so; it need not be known, and may never be';
COMMENT ON COLUMN agent_step_aliases.step_id IS 'The step that it is; NULL: none';
COMMENT ON COLUMN agent_step_aliases.parent_step_id IS 'What it is below, which may be an alias; NULL: nothing';
COMMENT ON COLUMN agent_step_aliases.root_started_at IS 'Of the root of a trace that is no step: when it began';
COMMENT ON COLUMN agent_step_aliases.root_ended_at IS 'Of such a root: when it ended, and the run with it; NULL: it is none';
COMMENT ON COLUMN agent_step_aliases.root_status IS 'Of such a root: how it ended';
COMMENT ON COLUMN agent_step_aliases.root_error IS 'Of such a root: what went wrong, for people';
COMMENT ON COLUMN agent_step_aliases.root_name IS 'Of such a root: its name, for people';
COMMENT ON COLUMN agent_step_aliases.run_pending IS
  'Merge state: true where the run was not there when it came; the sweeper looks a day later whether it is, and drops the alias or the mark';
COMMENT ON COLUMN agent_step_aliases.created_at IS 'When it came, by the database''s clock';

-- What two sets of observations have together: field by field the least rank,
-- then the earliest, then the least value by its bytes; of output and outcome
-- the latest and the greatest.
CREATE FUNCTION public.merge_observed(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN a IS NULL THEN b
    WHEN b IS NULL THEN a
    ELSE (
      SELECT jsonb_object_agg(best.key, best.value)
      FROM (
        SELECT DISTINCT ON (e.key) e.key, e.value
        FROM (SELECT * FROM jsonb_each(a) UNION ALL SELECT * FROM jsonb_each(b)) AS e
        ORDER BY
          e.key,
          (e.value ->> 0)::integer,
          CASE WHEN e.key IN ('output', 'outcome') THEN -(e.value ->> 1)::bigint ELSE (e.value ->> 1)::bigint END,
          (CASE WHEN e.key IN ('output', 'outcome') THEN e.value ->> 2 END) COLLATE "C" DESC,
          (e.value ->> 2) COLLATE "C"
      ) AS best
    )
  END
$function$;
COMMENT ON FUNCTION public.merge_observed(jsonb, jsonb) IS 'Merges two values of agent_runs.observed, for the daemon';

-- As before, but for children of a root span, whose parent is the run.
CREATE OR REPLACE FUNCTION public.run_step_tree(run_id uuid)
RETURNS TABLE (step_id uuid, depth integer, flag text)
LANGUAGE sql STABLE ROWS 1000
SET enable_nestloop = off
SET enable_mergejoin = off
SET jit = off
SET work_mem = '32MB'
AS $function$
  WITH RECURSIVE step AS MATERIALIZED (
    SELECT s.id, s.parent_step_id, s.named_parent_step_id IS NOT NULL AS bridged
    FROM public.agent_steps AS s
    WHERE s.run_id = $1
  ),
  root AS MATERIALIZED (
    SELECT
      s.id,
      -- The root span of a trace is the run itself: its children name no step.
      CASE WHEN s.parent_step_id IS NOT NULL AND NOT (s.bridged AND r.finalized_by IS NOT DISTINCT FROM 'root_span')
           THEN 'parent_missing' END AS flag
    FROM step AS s
    JOIN public.agent_runs AS r ON r.id = $1
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
  'Depth of each step of a run: 0 at the top, which is also where steps go whose parent is missing (flag parent_missing, '
  'unless it is the root span that the run ended by) or that are their own ancestors (parent_cycle)';

-- Read only, as steps are.

ALTER TABLE agent_step_aliases ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Users see aliases of own runs" ON agent_step_aliases FOR SELECT
  USING (public.owns_run(run_id));
CREATE POLICY "Admins see everything" ON agent_step_aliases FOR SELECT
  USING ((SELECT public.is_admin(auth.uid())));

DO $migration$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON agent_step_aliases TO authenticated;
  END IF;
END
$migration$;
