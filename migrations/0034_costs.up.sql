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

CREATE FUNCTION public.reported_cost(metadata jsonb) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = ''
AS $function$
DECLARE
  details jsonb := metadata -> 'langfuse.observation.cost_details';
BEGIN
  IF jsonb_typeof(details) = 'string' THEN
    details := (details #>> '{}')::jsonb;
  END IF;
  RETURN coalesce(
    metadata ->> 'gen_ai.usage.cost', metadata ->> 'gen_ai.usage.total_cost', metadata ->> 'llm.cost.total',
    details ->> 'total'
  )::numeric;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END
$function$;
COMMENT ON FUNCTION public.reported_cost(jsonb) IS
  'US dollars that the source of a step reported in its metadata (Langfuse, LiteLLM, OpenInference); NULL: none';

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
  CASE WHEN p.priced THEN (
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
COMMENT ON COLUMN agent_token_costs.cost_reported_usd IS 'US dollars as the source of the step reported them; NULL: it did not';
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
    sum(c.cost_reported_usd) AS cost_reported_usd,
    count(*) AS calls,
    count(*) FILTER (WHERE c.cost_usd IS NULL) AS unpriced_calls
  FROM agent_token_costs AS c
  WHERE c.run_id = r.id
) AS cost;

COMMENT ON VIEW run_costs IS
  'What each run cost. By session, agent or day: SELECT agent_id, sum(cost_usd) FROM run_costs GROUP BY agent_id';
COMMENT ON COLUMN run_costs.run_id IS 'agent_runs.id';
COMMENT ON COLUMN run_costs.session_id IS 'The session of the run';
COMMENT ON COLUMN run_costs.agent_id IS 'The agent of the run';
COMMENT ON COLUMN run_costs.customer_id IS 'The customer of the run';
COMMENT ON COLUMN run_costs.day IS 'The day on which the run started, in UTC';
COMMENT ON COLUMN run_costs.cost_usd IS 'US dollars of the calls whose price is known; NULL: of none';
COMMENT ON COLUMN run_costs.cost_reported_usd IS 'US dollars as the sources of the steps reported them; NULL: none did';
COMMENT ON COLUMN run_costs.calls IS 'Token counts that are no roll-ups';
COMMENT ON COLUMN run_costs.unpriced_calls IS 'Those of them whose price is unknown';

DO $migration$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
    REVOKE ALL ON model_prices, agent_token_costs, run_costs FROM anon;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    REVOKE ALL ON model_prices, agent_token_costs, run_costs FROM authenticated;
    GRANT SELECT ON model_prices, agent_token_costs, run_costs TO authenticated;
  END IF;
END
$migration$;
