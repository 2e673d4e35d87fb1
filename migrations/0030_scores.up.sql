-- Scores: how a person, a program or a model assessed a run or a step. And what run_summary tells of
-- a run besides: its scores, the name of its user, its tags, and the flag not_understood of a run
-- with a step of that kind: a span that looks like the work of a model, a tool or an agent, although
-- nothing tells which.
--
-- A score is no part of its run: no time, total or state of the run depends on it. It needs a run as
-- every row below a run does; who may see the run may see its scores.
--
-- The views gain columns at their end only.
--
-- Rollback: 0030_scores.down.sql

CREATE TABLE agent_scores (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  run_id UUID NOT NULL REFERENCES agent_runs(id),
  step_id UUID,
  name TEXT NOT NULL,
  value DOUBLE PRECISION,
  label TEXT,
  comment TEXT,
  source TEXT,
  metadata JSONB,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_agent_scores_run ON agent_scores(run_id);

COMMENT ON TABLE agent_scores IS
  'Scores of runs and steps, by people, programs or models. Set by ScoreAdded';
COMMENT ON COLUMN agent_scores.id IS 'From the client, so that a repeated score is stored once';
COMMENT ON COLUMN agent_scores.run_id IS 'The run that was assessed, or whose step was';
COMMENT ON COLUMN agent_scores.step_id IS 'The step that was assessed, which may be missing; NULL: the run as a whole';
COMMENT ON COLUMN agent_scores.name IS 'What was assessed, such as correctness';
COMMENT ON COLUMN agent_scores.value IS 'The result as a number; never NaN or infinite; NULL: none was given';
COMMENT ON COLUMN agent_scores.label IS 'The result as a word, such as pass; NULL: none was given';
COMMENT ON COLUMN agent_scores.comment IS 'Why, for people';
COMMENT ON COLUMN agent_scores.source IS 'Who assessed: user, or the name of an evaluator; NULL: not given';
COMMENT ON COLUMN agent_scores.metadata IS 'Further data, a JSON object';
COMMENT ON COLUMN agent_scores.created_at IS 'When it was assessed, by the client''s clock';

-- Read only, as steps are.

ALTER TABLE agent_scores ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Users see scores of own runs" ON agent_scores FOR SELECT
  USING (public.owns_run(run_id));
CREATE POLICY "Admins see everything" ON agent_scores FOR SELECT
  USING ((SELECT public.is_admin(auth.uid())));

DO $migration$
DECLARE
  visitor text;
BEGIN
  -- Supabase gives anon and authenticated all rights on every new table.
  FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
    EXECUTE format('REVOKE ALL ON agent_scores FROM %I', visitor);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON agent_scores TO authenticated;
  END IF;
END
$migration$;

CREATE OR REPLACE VIEW run_summary WITH (security_invoker = true) AS
SELECT
  r.id AS run_id,
  r.session_id,
  r.parent_run_id,
  r.agent_id,
  r.agent_type,
  r.name,
  r.customer_id,
  r.status,
  r.finalized_by,
  r.started_at,
  r.ended_at,
  first.at AS first_event_at,
  last.at AS last_event_at,
  CASE
    WHEN r.duration_ms IS NOT NULL THEN r.duration_ms
    WHEN r.ended_at < first.at THEN 0
    ELSE public.ms_between(first.at, r.ended_at)
  END AS duration_ms,
  CASE
    WHEN r.status <> 'running' THEN NULL
    WHEN first.at > now() THEN 0
    ELSE public.ms_between(first.at, now())
  END AS running_ms,
  waits.waiting_ms,
  CASE WHEN tokens.counted > 0 THEN coalesce(tokens.input, 0) ELSE r.reported_tokens_input END AS tokens_input,
  CASE WHEN tokens.counted > 0 THEN coalesce(tokens.output, 0) ELSE r.reported_tokens_output END AS tokens_output,
  tokens.cache_read AS tokens_cache_read,
  tokens.cache_write AS tokens_cache_write,
  tokens.reasoning AS tokens_reasoning,
  steps.steps,
  steps.open_steps,
  steps.failed_steps,
  steps.llm_calls,
  steps.tool_calls,
  messages.messages,
  waits.approvals,
  waits.pending_approvals,
  r.error,
  r.input,
  r.output,
  array_remove(ARRAY[
    CASE WHEN r.start_event_at IS NULL AND r.agent_id = 'unknown' THEN 'no_start' END,
    CASE WHEN r.ended_at < r.started_at THEN 'ended_before_started' END,
    CASE WHEN r.finalized_by = 'abandoned' THEN 'abandoned' END,
    CASE WHEN r.status = 'running' AND r.abandon_at < now() THEN 'overdue' END,
    CASE WHEN steps.closed_with_run > 0 THEN 'steps_closed_with_run' END,
    CASE WHEN steps.not_understood > 0 THEN 'not_understood' END,
    CASE
      WHEN tokens.counted = 0 AND num_nonnulls(r.reported_tokens_input, r.reported_tokens_output) > 0
        THEN 'tokens_reported'
      WHEN tokens.counted > 0 AND (
        r.reported_tokens_input <> coalesce(tokens.input, 0) OR r.reported_tokens_output <> coalesce(tokens.output, 0)
      ) THEN 'reported_tokens_differ'
    END
  ], NULL) AS flags,
  scores.scores,
  scores.score_values,
  r.metadata ->> 'user' AS user_name,
  CASE WHEN jsonb_typeof(r.metadata -> 'tags') = 'array'
    THEN ARRAY(SELECT jsonb_array_elements_text(r.metadata -> 'tags'))
  END AS tags
FROM agent_runs AS r
CROSS JOIN LATERAL (
  SELECT
    count(*) AS steps,
    count(*) FILTER (WHERE s.status = 'running') AS open_steps,
    count(*) FILTER (WHERE s.status = 'failed') AS failed_steps,
    count(*) FILTER (WHERE s.step_type = 'llm_call') AS llm_calls,
    count(*) FILTER (WHERE s.step_type = 'tool_call') AS tool_calls,
    count(*) FILTER (WHERE s.closed_with_run) AS closed_with_run,
    count(*) FILTER (WHERE s.kind = 'not_understood') AS not_understood,
    min(least(s.started_at, s.created_at)) AS first_at,
    max(greatest(s.created_at, s.started_at, s.ended_at)) AS last_at
  FROM agent_steps AS s
  WHERE s.run_id = r.id
) AS steps
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE NOT c.rollup) AS counted,
    sum(c.input) FILTER (WHERE NOT c.rollup) AS input,
    sum(c.output) FILTER (WHERE NOT c.rollup) AS output,
    sum(c.cache_read) FILTER (WHERE NOT c.rollup) AS cache_read,
    sum(c.cache_write) FILTER (WHERE NOT c.rollup) AS cache_write,
    sum(c.reasoning) FILTER (WHERE NOT c.rollup) AS reasoning,
    min(c.created_at) AS first_at,
    max(c.created_at) AS last_at
  FROM agent_token_counts AS c
  WHERE c.run_id = r.id
) AS tokens
CROSS JOIN LATERAL (
  SELECT count(*) AS messages, min(m.created_at) AS first_at, max(m.created_at) AS last_at
  FROM agent_messages AS m
  WHERE m.run_id = r.id
) AS messages
CROSS JOIN LATERAL (
  -- Waits may overlap; time is waited once. A wait ends with its decision, its
  -- expiry, or the run; what is pending lasts until now.
  SELECT
    count(*) AS approvals,
    count(*) FILTER (WHERE pending) AS pending_approvals,
    coalesce((
      SELECT sum(public.ms_between(lower(wait), upper(wait)))
      FROM unnest(range_agg(tstzrange(since, until)) FILTER (WHERE since < until)) AS wait
    ), 0)::bigint AS waiting_ms,
    min(requested_at) AS first_at,
    max(greatest(requested_at, decided_at)) AS last_at
  FROM (
    SELECT
      a.created_at AS requested_at,
      a.decided_at,
      a.status = 'pending' AS pending,
      greatest(a.created_at, r.started_at) AS since,
      least(
        CASE WHEN a.status = 'pending' THEN least(a.expires_at, now()) ELSE coalesce(a.decided_at, a.expires_at, a.created_at) END,
        r.ended_at
      ) AS until
    FROM approvals AS a
    WHERE a.run_id = r.id
  ) AS asked
) AS waits
CROSS JOIN LATERAL (
  -- Of several scores with one name, the last: that of the run over those of its steps, then
  -- the latest.
  SELECT
    count(*) AS scores,
    jsonb_object_agg(c.name, coalesce(to_jsonb(c.value), to_jsonb(c.label)) ORDER BY c.step_id IS NULL, c.created_at, c.id)
      AS score_values
  FROM agent_scores AS c
  WHERE c.run_id = r.id
) AS scores
CROSS JOIN LATERAL (
  SELECT coalesce(
    r.started_at,
    least(steps.first_at, tokens.first_at, messages.first_at, waits.first_at, r.last_event_at, r.ended_at)
  ) AS at
) AS first
CROSS JOIN LATERAL (
  SELECT greatest(
    r.started_at, r.start_event_at, r.ended_at, r.last_event_at,
    steps.last_at, tokens.last_at, messages.last_at, waits.last_at
  ) AS at
) AS last;

COMMENT ON COLUMN run_summary.flags IS
  'Warnings: no_start (only parts of the run have arrived, not its start), ended_before_started, abandoned, overdue '
  '(the sweeper will close the run), steps_closed_with_run, tokens_reported (the totals are those that the runtime '
  'reported), reported_tokens_differ (from the sums of the token counts), not_understood '
  '(spans look like the work of a model, a tool or an agent, but nothing tells which)';
COMMENT ON COLUMN run_summary.scores IS 'Number of scores, of the run and of its steps';
COMMENT ON COLUMN run_summary.score_values IS
  'By name, the value of a score, or its label if it has no value: that of the run over those of its steps, then the latest. NULL: no scores';
COMMENT ON COLUMN run_summary.user_name IS
  'The user as the source names him, if that is not a UUID (metadata.user); agent_sessions.user_id has the other users';
COMMENT ON COLUMN run_summary.tags IS 'The tags of the run (metadata.tags); NULL: none';

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

COMMENT ON VIEW run_timeline IS
  'One row per step, message, token count, approval and score of a run: SELECT * FROM run_timeline WHERE run_id = … ORDER BY position';
COMMENT ON COLUMN run_timeline.position IS
  'Position in the run, from 1: by time, then parents before their children, then message, step, approval, tokens, score, then seq and id';
COMMENT ON COLUMN run_timeline.item IS 'What the row is: step, message, tokens, approval or score';
COMMENT ON COLUMN run_timeline.id IS
  'Id of the row in agent_steps, agent_messages, agent_token_counts, approvals or agent_scores';
COMMENT ON COLUMN run_timeline.step_id IS 'The step itself, or the step that the message, tokens, approval or score belong to';
COMMENT ON COLUMN run_timeline.kind IS
  'Step: its kind, otherwise its step_type. Message: its role. Approval: its action_type. Tokens: usage or rollup. Score: its label, otherwise its value';
COMMENT ON COLUMN run_timeline.name IS
  'Step: its name. Approval: what is to be approved, for people. Score: what was assessed';
COMMENT ON COLUMN run_timeline.content IS 'Message: its text. Approval: the notes of the decision. Score: the comment';
COMMENT ON COLUMN run_timeline.metadata IS 'Step, message, approval and score: further data, a JSON object';
COMMENT ON COLUMN run_timeline.score_value IS 'Score: the result as a number';
COMMENT ON COLUMN run_timeline.score_label IS 'Score: the result as a word';
COMMENT ON COLUMN run_timeline.score_source IS 'Score: who assessed';
