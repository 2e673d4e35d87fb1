-- run_summary: one row per run, exact at any time, also while the run is live.
--
-- Each part is found through the run's own index entries, so that the view
-- costs what the runs asked for cost: for one run `WHERE run_id = …`; for the
-- latest `WHERE started_at IS NOT NULL ORDER BY started_at DESC LIMIT 20`.
-- That is why started_at is the row's own and the earliest event a column of
-- its own: a start derived from children could only be sorted by reading all.
--
-- Rollback: 0009_run_summary.down.sql

-- Whole milliseconds from one time to another; negative when they are swapped.
-- Not by way of an interval, which cannot hold all of time.
CREATE FUNCTION public.ms_between(since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT trunc((
    extract(epoch FROM until AT TIME ZONE 'UTC') - extract(epoch FROM since AT TIME ZONE 'UTC')
  ) * 1000)::bigint
$function$;
COMMENT ON FUNCTION public.ms_between(timestamptz, timestamptz) IS
  'Whole milliseconds from the first time to the second; negative when the second is earlier';

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
  'One row per run, exact at any time. One run: WHERE run_id = …. The latest: WHERE started_at IS NOT NULL ORDER BY started_at DESC LIMIT 20';
COMMENT ON COLUMN run_summary.run_id IS 'agent_runs.id';
COMMENT ON COLUMN run_summary.parent_run_id IS 'The run that started this one, known or not';
COMMENT ON COLUMN run_summary.status IS 'running, completed, failed';
COMMENT ON COLUMN run_summary.finalized_by IS
  'Whose end stands: client, root_span (OTLP), abandoned (the sweeper). NULL while running';
COMMENT ON COLUMN run_summary.started_at IS
  'When the run started; NULL while its start is unknown (see first_event_at). The column to sort by';
COMMENT ON COLUMN run_summary.first_event_at IS 'started_at or, while that is unknown, the time of the earliest event';
COMMENT ON COLUMN run_summary.last_event_at IS 'Time of the latest event of the run or anything in it';
COMMENT ON COLUMN run_summary.duration_ms IS
  'Whole milliseconds from start (or earliest event) to end; 0 when it ended before it started; NULL while running';
COMMENT ON COLUMN run_summary.running_ms IS
  'Of a live run: milliseconds since it started, by the database''s clock; else NULL';
COMMENT ON COLUMN run_summary.waiting_ms IS
  'Milliseconds in which at least one approval was awaited, pending ones until now, within the run''s own time';
COMMENT ON COLUMN run_summary.tokens_input IS
  'Input tokens, cached ones included: the sum of the ledger without roll-ups, or where it has no row the reported total';
COMMENT ON COLUMN run_summary.tokens_output IS 'Output tokens, reasoning included; found like tokens_input';
COMMENT ON COLUMN run_summary.tokens_cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN run_summary.tokens_cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN run_summary.tokens_reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN run_summary.open_steps IS 'Steps that have not ended';
COMMENT ON COLUMN run_summary.flags IS
  'What a reader should know: no_start (only children are known), ended_before_started, abandoned, overdue (the sweeper will close it), '
  'steps_closed_with_run, tokens_reported (the totals are the runtime''s own), reported_tokens_differ (from the ledger''s)';
