-- Undoes 0030_scores: drops the scores, and gives the views back the columns that they had. What
-- other roles than authenticated were granted on the two views has to be granted again.

DROP VIEW IF EXISTS run_timeline;
DROP VIEW IF EXISTS run_summary;
DROP TABLE IF EXISTS agent_scores;

CREATE VIEW run_summary WITH (security_invoker = true) AS
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
    CASE
      WHEN tokens.counted = 0 AND num_nonnulls(r.reported_tokens_input, r.reported_tokens_output) > 0
        THEN 'tokens_reported'
      WHEN tokens.counted > 0 AND (
        r.reported_tokens_input <> coalesce(tokens.input, 0) OR r.reported_tokens_output <> coalesce(tokens.output, 0)
      ) THEN 'reported_tokens_differ'
    END
  ], NULL) AS flags
FROM agent_runs AS r
CROSS JOIN LATERAL (
  SELECT
    count(*) AS steps,
    count(*) FILTER (WHERE s.status = 'running') AS open_steps,
    count(*) FILTER (WHERE s.status = 'failed') AS failed_steps,
    count(*) FILTER (WHERE s.step_type = 'llm_call') AS llm_calls,
    count(*) FILTER (WHERE s.step_type = 'tool_call') AS tool_calls,
    count(*) FILTER (WHERE s.closed_with_run) AS closed_with_run,
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

COMMENT ON VIEW run_summary IS
  'One row per run, exact at any time. One run: WHERE run_id = …. The latest runs: WHERE started_at IS NOT NULL ORDER '
  'BY started_at DESC LIMIT 20';
COMMENT ON COLUMN run_summary.run_id IS 'agent_runs.id';
COMMENT ON COLUMN run_summary.parent_run_id IS
  'The run that started this one; NULL: none. The parent may be missing from agent_runs';
COMMENT ON COLUMN run_summary.status IS 'running, completed or failed';
COMMENT ON COLUMN run_summary.finalized_by IS
  'Which end the row shows: client (an end event), root_span (the end of a trace, OTLP) or abandoned (the sweeper). '
  'NULL while running';
COMMENT ON COLUMN run_summary.started_at IS
  'When the run started, by the client''s clock; NULL while the start is unknown (see first_event_at). Sort by this '
  'column';
COMMENT ON COLUMN run_summary.first_event_at IS 'started_at; while that is unknown, the time of the earliest event';
COMMENT ON COLUMN run_summary.last_event_at IS 'Time of the latest event of the run or of anything in it';
COMMENT ON COLUMN run_summary.duration_ms IS
  'Whole milliseconds from the start (or the earliest event) to the end; 0 if the end is before the start; NULL while '
  'running';
COMMENT ON COLUMN run_summary.running_ms IS
  'Milliseconds from the start (or the earliest event) to now, by the database''s clock; NULL unless the run is live';
COMMENT ON COLUMN run_summary.waiting_ms IS
  'Milliseconds in which at least one approval was pending, within the time of the run. Approvals that are still '
  'pending count until now';
COMMENT ON COLUMN run_summary.tokens_input IS
  'Input tokens, cached ones included: the sum of the token counts that are not roll-ups; if there are none, the total '
  'that the runtime reported';
COMMENT ON COLUMN run_summary.tokens_output IS 'Output tokens, reasoning included; computed as tokens_input is';
COMMENT ON COLUMN run_summary.tokens_cache_read IS 'Input tokens read from a cache';
COMMENT ON COLUMN run_summary.tokens_cache_write IS 'Input tokens written to a cache';
COMMENT ON COLUMN run_summary.tokens_reasoning IS 'Output tokens used for reasoning';
COMMENT ON COLUMN run_summary.open_steps IS 'Number of steps that have not ended';
COMMENT ON COLUMN run_summary.flags IS
  'Warnings: no_start (only parts of the run have arrived, not its start), ended_before_started, abandoned, overdue '
  '(the sweeper will close the run), steps_closed_with_run, tokens_reported (the totals are those that the runtime '
  'reported), reported_tokens_differ (from the sums of the token counts)';
COMMENT ON COLUMN run_summary.session_id IS 'The session of the run; NULL: none, or not known yet';
COMMENT ON COLUMN run_summary.agent_id IS 'Which agent; unknown: not given';
COMMENT ON COLUMN run_summary.agent_type IS 'Which kind of agent; unknown: not given';
COMMENT ON COLUMN run_summary.name IS 'Name of the run, for people';
COMMENT ON COLUMN run_summary.customer_id IS 'The customer the run is about; NULL: not known, or not in customers';
COMMENT ON COLUMN run_summary.ended_at IS 'When the run ended, by the client''s clock; NULL while running';
COMMENT ON COLUMN run_summary.steps IS 'Number of steps';
COMMENT ON COLUMN run_summary.failed_steps IS 'Number of steps that failed';
COMMENT ON COLUMN run_summary.llm_calls IS 'Number of steps of type llm_call';
COMMENT ON COLUMN run_summary.tool_calls IS 'Number of steps of type tool_call';
COMMENT ON COLUMN run_summary.messages IS 'Number of messages';
COMMENT ON COLUMN run_summary.approvals IS 'Number of approvals';
COMMENT ON COLUMN run_summary.pending_approvals IS 'Number of approvals still pending';
COMMENT ON COLUMN run_summary.error IS 'What went wrong, for people; NULL: nothing was reported';
COMMENT ON COLUMN run_summary.input IS 'What the run was asked';
COMMENT ON COLUMN run_summary.output IS 'The answer of the run';

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
  'Position in the run, from 1. Order: time, then parents before their children, then message, step, approval, tokens, '
  'then seq and id';
COMMENT ON COLUMN run_timeline.item IS 'What the row is: step, message, tokens or approval';
COMMENT ON COLUMN run_timeline.id IS 'Id of the row in agent_steps, agent_messages, agent_token_counts or approvals';
COMMENT ON COLUMN run_timeline.step_id IS 'The step itself, or the step that the message, tokens or approval belong to';
COMMENT ON COLUMN run_timeline.parent_step_id IS 'Step: the step that it is part of; it may be missing';
COMMENT ON COLUMN run_timeline.depth IS
  '0 at the top. A step is one below its parent; any other item is one below its step. A step whose parent is missing '
  'is at 0';
COMMENT ON COLUMN run_timeline.at IS 'When the item began or happened, by the client''s clock';
COMMENT ON COLUMN run_timeline.ended_at IS 'Step: when it ended. Approval: when it was decided. NULL while open';
COMMENT ON COLUMN run_timeline.offset_ms IS
  'Whole milliseconds from the start of the run to at; negative before the start. If the start is unknown, counted '
  'from the earliest item';
COMMENT ON COLUMN run_timeline.duration_ms IS 'Step and approval: duration in whole milliseconds; NULL while open';
COMMENT ON COLUMN run_timeline.kind IS
  'Step: its kind, otherwise its step_type. Message: its role. Approval: its action_type. Tokens: usage or rollup';
COMMENT ON COLUMN run_timeline.name IS 'Step: its name. Approval: what is to be approved, for people';
COMMENT ON COLUMN run_timeline.status IS
  'Step: running, completed or failed. Approval: pending, approved, rejected or expired';
COMMENT ON COLUMN run_timeline.tokens_input IS
  'Tokens: input, cached ones included. Leave out rows of kind rollup when you add up';
COMMENT ON COLUMN run_timeline.tokens_output IS
  'Tokens: output, reasoning included. Leave out rows of kind rollup when you add up';
COMMENT ON COLUMN run_timeline.tokens_cache_read IS 'Tokens: input read from a cache';
COMMENT ON COLUMN run_timeline.tokens_cache_write IS 'Tokens: input written to a cache';
COMMENT ON COLUMN run_timeline.tokens_reasoning IS 'Tokens: output used for reasoning';
COMMENT ON COLUMN run_timeline.input IS 'Step: its input. Approval: the arguments of the action';
COMMENT ON COLUMN run_timeline.output IS 'Step: its output';
COMMENT ON COLUMN run_timeline.content IS 'Message: its text. Approval: the notes of the decision';
COMMENT ON COLUMN run_timeline.thinking IS 'Message: reasoning of the model that came with it';
COMMENT ON COLUMN run_timeline.seq IS 'Message: its position among the messages of the run, from the client';
COMMENT ON COLUMN run_timeline.flags IS
  'Warnings: open, closed_with_run, ended_before_started, parent_missing, parent_cycle, step_missing, rollup, '
  'before_run, after_run';
COMMENT ON COLUMN run_timeline.run_id IS 'The run';
COMMENT ON COLUMN run_timeline.step_type IS 'Step: thinking, tool_call, tool_result, llm_call, handoff or other';
COMMENT ON COLUMN run_timeline.model IS 'Step and tokens: the model';
COMMENT ON COLUMN run_timeline.error IS 'Step: what went wrong, for people';
COMMENT ON COLUMN run_timeline.tool_calls IS 'Message: its tool calls, any JSON';
COMMENT ON COLUMN run_timeline.metadata IS 'Step, message and approval: further data, a JSON object';
COMMENT ON COLUMN run_timeline.decided_by IS 'Approval: the user who decided';

DO $migration$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON run_summary, run_timeline TO authenticated;
  END IF;
END
$migration$;
