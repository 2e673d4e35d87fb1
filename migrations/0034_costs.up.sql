-- What calls cost: prices by model, and views that apply them.
--
-- A price belongs to a model as agents name it, to the time from which it holds, and to calls whose input is larger than a
-- number of tokens. The daemon fills in the rows of the catalog, for models that it finds in the traces; an operator may add
-- rows, which win over those of the catalog. A model without a price costs NULL, never 0.
--
-- Rollback: 0034_costs.down.sql

CREATE TABLE model_prices (
  model TEXT NOT NULL,
  source TEXT NOT NULL DEFAULT 'operator' CHECK (source IN ('operator', 'catalog')),
  valid_from TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
  above_input_tokens BIGINT NOT NULL DEFAULT 0 CHECK (above_input_tokens >= 0),
  input NUMERIC CHECK (input >= 0),
  output NUMERIC CHECK (output >= 0),
  cache_read NUMERIC CHECK (cache_read >= 0),
  cache_write NUMERIC CHECK (cache_write >= 0),
  reasoning NUMERIC CHECK (reasoning >= 0),
  priced_as TEXT,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  PRIMARY KEY (model, source, valid_from, above_input_tokens)
);

COMMENT ON TABLE model_prices IS
  'Prices of models in US dollars per million tokens. Rows of the operator win over those of the catalog, which the daemon writes';
COMMENT ON COLUMN model_prices.model IS 'The model as agents name it (agent_token_counts.model)';
COMMENT ON COLUMN model_prices.source IS 'operator: set by a person, never changed by the daemon; catalog: from the prices that the daemon brings';
COMMENT ON COLUMN model_prices.valid_from IS 'Calls from this time on have this price, until the next row of the same source begins';
COMMENT ON COLUMN model_prices.above_input_tokens IS
  'Calls with more input tokens than this have this price, for the whole call; 0: all calls';
COMMENT ON COLUMN model_prices.input IS 'Of a million input tokens that no cache had; NULL: unknown';
COMMENT ON COLUMN model_prices.output IS 'Of a million output tokens; NULL: unknown';
COMMENT ON COLUMN model_prices.cache_read IS 'Of a million input tokens read from a cache; NULL: as input';
COMMENT ON COLUMN model_prices.cache_write IS 'Of a million input tokens written to a cache; NULL: as input';
COMMENT ON COLUMN model_prices.reasoning IS 'Of a million output tokens of reasoning; NULL: as output';
COMMENT ON COLUMN model_prices.priced_as IS 'Of a catalog row: provider and model in the catalog; all prices NULL: the catalog does not know the model';
COMMENT ON COLUMN model_prices.updated_at IS 'When the row was written, by the database''s clock';

ALTER TABLE model_prices ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Everybody sees prices" ON model_prices FOR SELECT USING (true);

-- The same prices without overlaps: of each call, one row tells the price. Sums over many calls join it.
CREATE VIEW price_bands WITH (security_invoker = true) AS
SELECT
  times.model,
  times.valid_from,
  times.valid_until,
  sizes.above_input_tokens,
  sizes.up_to_input_tokens,
  p.source,
  p.priced_as,
  p.input,
  p.output,
  p.cache_read,
  p.cache_write,
  p.reasoning
FROM (
  SELECT
    m.model,
    m.valid_from,
    lead(m.valid_from, 1, 'infinity') OVER (PARTITION BY m.model ORDER BY m.valid_from) AS valid_until
  FROM (SELECT DISTINCT model, valid_from FROM model_prices) AS m
) AS times
JOIN (
  SELECT
    m.model,
    m.above_input_tokens,
    lead(m.above_input_tokens, 1, 9223372036854775807) OVER (PARTITION BY m.model ORDER BY m.above_input_tokens) AS up_to_input_tokens
  FROM (SELECT DISTINCT model, above_input_tokens FROM model_prices) AS m
) AS sizes ON sizes.model = times.model
CROSS JOIN LATERAL (
  SELECT
    m.source,
    m.priced_as,
    m.input,
    m.output,
    coalesce(m.cache_read, m.input) AS cache_read,
    coalesce(m.cache_write, m.input) AS cache_write,
    coalesce(m.reasoning, m.output) AS reasoning
  FROM model_prices AS m
  WHERE m.model = times.model AND m.valid_from <= times.valid_from AND m.above_input_tokens <= sizes.above_input_tokens
  ORDER BY m.source = 'operator' DESC, m.valid_from DESC, m.above_input_tokens DESC
  LIMIT 1
) AS p
WHERE num_nonnulls(p.input, p.output, p.cache_read, p.cache_write, p.reasoning) > 0;

COMMENT ON VIEW price_bands IS
  'Prices without overlaps: a call has the price of the one row that holds its model, time and input tokens';
COMMENT ON COLUMN price_bands.model IS 'The model as agents name it';
COMMENT ON COLUMN price_bands.valid_from IS 'Calls from this time on';
COMMENT ON COLUMN price_bands.valid_until IS 'Calls before this time';
COMMENT ON COLUMN price_bands.above_input_tokens IS 'Calls with more input tokens than this';
COMMENT ON COLUMN price_bands.up_to_input_tokens IS 'Calls with at most so many input tokens';
COMMENT ON COLUMN price_bands.source IS 'operator or catalog';
COMMENT ON COLUMN price_bands.priced_as IS 'Of a catalog row: provider and model in the catalog';
COMMENT ON COLUMN price_bands.input IS 'US dollars of a million input tokens that no cache had; NULL: unknown';
COMMENT ON COLUMN price_bands.output IS 'US dollars of a million output tokens; NULL: unknown';
COMMENT ON COLUMN price_bands.cache_read IS 'US dollars of a million input tokens read from a cache; NULL: unknown';
COMMENT ON COLUMN price_bands.cache_write IS 'US dollars of a million input tokens written to a cache; NULL: unknown';
COMMENT ON COLUMN price_bands.reasoning IS 'US dollars of a million output tokens of reasoning; NULL: unknown';

CREATE FUNCTION public.reported_cost(metadata jsonb) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = ''
AS $function$
DECLARE
  details jsonb := metadata -> 'langfuse.observation.cost_details';
  cost numeric;
BEGIN
  IF jsonb_typeof(details) = 'string' THEN
    details := (details #>> '{}')::jsonb;
  END IF;
  cost := coalesce(
    metadata ->> 'gen_ai.usage.cost', metadata ->> 'gen_ai.usage.total_cost', metadata ->> 'llm.cost.total',
    details ->> 'total'
  )::numeric;
  -- Anybody may write the metadata. NaN is larger than every number.
  RETURN CASE WHEN cost >= 0 AND cost < 1000000000 THEN round(cost, 12) END;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END
$function$;
COMMENT ON FUNCTION public.reported_cost(jsonb) IS
  'US dollars that the source of a step reported in its metadata (Langfuse, LiteLLM, OpenInference); NULL: none, or no sum of money';

CREATE VIEW agent_token_costs WITH (security_invoker = true) AS
SELECT
  c.id,
  c.run_id,
  c.step_id,
  used.model,
  c.created_at,
  c.input,
  c.output,
  c.cache_read,
  c.cache_write,
  c.reasoning,
  -- A call that tells no tokens costs something, but nobody knows what.
  CASE WHEN p.priced AND num_nonnulls(c.input, c.output, c.cache_read, c.cache_write, c.reasoning) > 0 THEN (
    greatest(c_input - c_cache_read - c_cache_write, 0) * p.input
    + c_cache_read * coalesce(p.cache_read, p.input)
    + c_cache_write * coalesce(p.cache_write, p.input)
    + greatest(c_output - c_reasoning, 0) * p.output
    + least(c_reasoning, c_output) * coalesce(p.reasoning, p.output)
  ) / 1000000 END AS cost_usd,
  (SELECT public.reported_cost(s.metadata) FROM agent_steps AS s WHERE s.id = c.step_id) AS cost_reported_usd,
  p.source AS price_source,
  p.priced_as
FROM agent_token_counts AS c
CROSS JOIN LATERAL (
  SELECT
    coalesce(c.model, (SELECT s.model FROM agent_steps AS s WHERE s.id = c.step_id)) AS model,
    coalesce(c.input, 0)::numeric AS c_input,
    coalesce(c.output, 0)::numeric AS c_output,
    coalesce(c.cache_read, 0)::numeric AS c_cache_read,
    coalesce(c.cache_write, 0)::numeric AS c_cache_write,
    coalesce(c.reasoning, 0)::numeric AS c_reasoning
) AS used
LEFT JOIN LATERAL (
  SELECT
    m.source,
    m.priced_as,
    -- What has no price and was not used costs nothing.
    coalesce(m.input, CASE WHEN used.c_input = 0 THEN 0 END) AS input,
    coalesce(m.output, CASE WHEN used.c_output = 0 THEN 0 END) AS output,
    m.cache_read,
    m.cache_write,
    m.reasoning,
    num_nonnulls(m.input, m.output, m.cache_read, m.cache_write, m.reasoning) > 0 AS priced
  FROM model_prices AS m
  WHERE m.model = used.model AND m.valid_from <= c.created_at AND m.above_input_tokens < greatest(used.c_input, 1)
  ORDER BY m.source = 'operator' DESC, m.valid_from DESC, m.above_input_tokens DESC
  LIMIT 1
) AS p ON true
WHERE NOT c.rollup;

COMMENT ON VIEW agent_token_costs IS 'Token counts that are no roll-ups, with what they cost';
COMMENT ON COLUMN agent_token_costs.id IS 'agent_token_counts.id';
COMMENT ON COLUMN agent_token_costs.run_id IS 'The run that used the tokens';
COMMENT ON COLUMN agent_token_costs.step_id IS 'The step that used the tokens';
COMMENT ON COLUMN agent_token_costs.model IS 'The model that was paid; where the token count names none, that of its step';
COMMENT ON COLUMN agent_token_costs.created_at IS 'When the tokens were used';
COMMENT ON COLUMN agent_token_costs.input IS 'Input tokens, cached ones included';
COMMENT ON COLUMN agent_token_costs.output IS 'Output tokens, reasoning included';
COMMENT ON COLUMN agent_token_costs.cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN agent_token_costs.cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN agent_token_costs.reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN agent_token_costs.cost_usd IS 'US dollars by the price of the model at that time; NULL: no price is known';
COMMENT ON COLUMN agent_token_costs.cost_reported_usd IS
  'US dollars of the whole step, as its source reported them, also if it has several token counts; NULL: it did not';
COMMENT ON COLUMN agent_token_costs.price_source IS 'operator or catalog; NULL: no price is known';
COMMENT ON COLUMN agent_token_costs.priced_as IS 'Provider and model of the catalog whose price was used';

CREATE VIEW run_costs WITH (security_invoker = true) AS
SELECT
  r.id AS run_id,
  r.session_id,
  r.agent_id,
  r.customer_id,
  (coalesce(r.started_at, r.last_event_at) AT TIME ZONE 'UTC')::date AS day,
  cost.cost_usd,
  cost.cost_reported_usd,
  cost.calls,
  cost.unpriced_calls
FROM agent_runs AS r
CROSS JOIN LATERAL (
  SELECT
    sum(c.cost_usd) AS cost_usd,
    sum(c.cost_reported_usd) FILTER (WHERE c.of_step = 1) AS cost_reported_usd,
    count(*) AS calls,
    count(*) FILTER (WHERE c.cost_usd IS NULL) AS unpriced_calls
  FROM (
    -- A step reports what it cost in all, however many token counts it has.
    SELECT k.*, row_number() OVER (PARTITION BY k.step_id ORDER BY k.id) AS of_step
    FROM agent_token_costs AS k
    WHERE k.run_id = r.id
  ) AS c
) AS cost;

COMMENT ON VIEW run_costs IS
  'What each run cost. session_costs, agent_costs and daily_costs sum it up';
COMMENT ON COLUMN run_costs.run_id IS 'agent_runs.id';
COMMENT ON COLUMN run_costs.session_id IS 'The session of the run';
COMMENT ON COLUMN run_costs.agent_id IS 'The agent of the run';
COMMENT ON COLUMN run_costs.customer_id IS 'The customer of the run';
COMMENT ON COLUMN run_costs.day IS 'The day on which the run started, in UTC';
COMMENT ON COLUMN run_costs.cost_usd IS 'US dollars of the calls whose price is known; NULL: of none';
COMMENT ON COLUMN run_costs.cost_reported_usd IS 'US dollars as the sources of the steps reported them; NULL: none did';
COMMENT ON COLUMN run_costs.calls IS 'Token counts that are no roll-ups';
COMMENT ON COLUMN run_costs.unpriced_calls IS 'Those of them whose price is unknown';

CREATE VIEW session_costs WITH (security_invoker = true) AS
SELECT
  c.session_id,
  count(*) AS runs,
  sum(c.calls)::bigint AS calls,
  sum(c.unpriced_calls)::bigint AS unpriced_calls,
  sum(c.cost_usd) AS cost_usd,
  sum(c.cost_reported_usd) AS cost_reported_usd
FROM run_costs AS c
WHERE c.session_id IS NOT NULL
GROUP BY c.session_id;

CREATE VIEW agent_costs WITH (security_invoker = true) AS
SELECT
  c.agent_id,
  count(*) AS runs,
  sum(c.calls)::bigint AS calls,
  sum(c.unpriced_calls)::bigint AS unpriced_calls,
  sum(c.cost_usd) AS cost_usd,
  sum(c.cost_reported_usd) AS cost_reported_usd
FROM run_costs AS c
GROUP BY c.agent_id;

CREATE VIEW daily_costs WITH (security_invoker = true) AS
SELECT
  c.day,
  count(*) AS runs,
  sum(c.calls)::bigint AS calls,
  sum(c.unpriced_calls)::bigint AS unpriced_calls,
  sum(c.cost_usd) AS cost_usd,
  sum(c.cost_reported_usd) AS cost_reported_usd
FROM run_costs AS c
GROUP BY c.day;

CREATE VIEW unpriced_models WITH (security_invoker = true) AS
SELECT c.model, count(*) AS calls, max(c.created_at) AS last_at
FROM agent_token_costs AS c
WHERE c.cost_usd IS NULL
GROUP BY c.model;

COMMENT ON VIEW session_costs IS 'What each session cost, over all its runs';
COMMENT ON COLUMN session_costs.session_id IS 'agent_sessions.id';
COMMENT ON COLUMN session_costs.runs IS 'Number of runs';
COMMENT ON COLUMN session_costs.calls IS 'Token counts that are no roll-ups';
COMMENT ON COLUMN session_costs.unpriced_calls IS 'Those of them whose price is unknown; no sum has them';
COMMENT ON COLUMN session_costs.cost_usd IS 'US dollars of the calls whose price is known; NULL: of none';
COMMENT ON COLUMN session_costs.cost_reported_usd IS 'US dollars as the sources of the steps reported them; NULL: none did';
COMMENT ON VIEW agent_costs IS 'What each agent cost';
COMMENT ON COLUMN agent_costs.agent_id IS 'The agent';
COMMENT ON COLUMN agent_costs.runs IS 'Number of runs';
COMMENT ON COLUMN agent_costs.calls IS 'Token counts that are no roll-ups';
COMMENT ON COLUMN agent_costs.unpriced_calls IS 'Those of them whose price is unknown; no sum has them';
COMMENT ON COLUMN agent_costs.cost_usd IS 'US dollars of the calls whose price is known; NULL: of none';
COMMENT ON COLUMN agent_costs.cost_reported_usd IS 'US dollars as the sources of the steps reported them; NULL: none did';
COMMENT ON VIEW daily_costs IS 'What each day cost';
COMMENT ON COLUMN daily_costs.day IS 'The day on which the runs started, in UTC; NULL: unknown';
COMMENT ON COLUMN daily_costs.runs IS 'Number of runs';
COMMENT ON COLUMN daily_costs.calls IS 'Token counts that are no roll-ups';
COMMENT ON COLUMN daily_costs.unpriced_calls IS 'Those of them whose price is unknown; no sum has them';
COMMENT ON COLUMN daily_costs.cost_usd IS 'US dollars of the calls whose price is known; NULL: of none';
COMMENT ON COLUMN daily_costs.cost_reported_usd IS 'US dollars as the sources of the steps reported them; NULL: none did';
COMMENT ON VIEW unpriced_models IS 'Models whose price is unknown. Their calls cost NULL, never 0';
COMMENT ON COLUMN unpriced_models.model IS 'The model as agents name it; NULL: the call names none';
COMMENT ON COLUMN unpriced_models.calls IS 'Token counts without a price';
COMMENT ON COLUMN unpriced_models.last_at IS 'The time of the latest of them';

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
  END AS tags,
  -- As subqueries, these take no time where nobody selects them.
  (SELECT sum(c.cost_usd) FROM agent_token_costs AS c WHERE c.run_id = r.id) AS cost_usd,
  (SELECT count(*) FROM agent_token_costs AS c WHERE c.run_id = r.id AND c.cost_usd IS NULL) AS unpriced_calls
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

COMMENT ON COLUMN run_summary.cost_usd IS
  'US dollars of the calls whose price is known, by the prices at the time of the call; NULL: of none';
COMMENT ON COLUMN run_summary.unpriced_calls IS 'Calls whose price is unknown; cost_usd leaves them out';

DO $migration$
DECLARE
  visitor text;
BEGIN
  -- Supabase gives anon and authenticated all rights on every new relation.
  FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
    EXECUTE format(
      'REVOKE ALL ON model_prices, price_bands, agent_token_costs, run_costs, session_costs, agent_costs, daily_costs, '
      'unpriced_models FROM %I', visitor);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON
      model_prices, price_bands, agent_token_costs, run_costs, session_costs, agent_costs, daily_costs, unpriced_models
    TO authenticated;
  END IF;
END
$migration$;
