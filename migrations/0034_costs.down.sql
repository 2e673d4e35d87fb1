-- Undoes 0034_costs: prices, also those of the operator, are gone, and run_summary has the columns
-- that it had. What other roles than authenticated were granted on it has to be granted again.

DO $migration$
DECLARE
  about text := obj_description('run_summary'::regclass);
  column_name text;
  told text;
  comments jsonb := (
    SELECT jsonb_object_agg(a.attname, col_description(a.attrelid, a.attnum))
    FROM pg_attribute AS a
    WHERE a.attrelid = 'run_summary'::regclass AND a.attnum > 0 AND a.attname NOT IN ('cost_usd', 'unpriced_calls')
  );
BEGIN
  DROP VIEW run_summary;
  EXECUTE $view$
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
) AS last
  $view$;
  EXECUTE format('COMMENT ON VIEW run_summary IS %L', about);
  FOR column_name, told IN SELECT * FROM jsonb_each_text(comments) LOOP
    EXECUTE format('COMMENT ON COLUMN run_summary.%I IS %L', column_name, told);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
    REVOKE ALL ON run_summary FROM anon;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    REVOKE ALL ON run_summary FROM authenticated;
    GRANT SELECT ON run_summary TO authenticated;
  END IF;
END
$migration$;

DROP VIEW IF EXISTS unpriced_models;
DROP VIEW IF EXISTS daily_costs;
DROP VIEW IF EXISTS agent_costs;
DROP VIEW IF EXISTS session_costs;
DROP VIEW IF EXISTS run_costs;
DROP VIEW IF EXISTS agent_token_costs;
DROP VIEW IF EXISTS price_bands;
DROP FUNCTION IF EXISTS public.reported_cost(jsonb);
DROP TABLE IF EXISTS model_prices;
