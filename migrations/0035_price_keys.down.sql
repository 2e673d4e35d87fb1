-- Undoes 0035_price_keys: a model has one price for all providers. Prices by provider and of batches stay, and count for nothing.

CREATE OR REPLACE VIEW agent_token_costs WITH (security_invoker = true) AS
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

DROP FUNCTION public.models_with_keys();
DROP FUNCTION public.price_key(text, uuid);
DROP FUNCTION public.price_keys(text, jsonb);
DROP FUNCTION public.is_batch_call(jsonb);
DROP FUNCTION public.call_provider(jsonb);
COMMENT ON COLUMN model_prices.model IS 'The model as agents name it (agent_token_counts.model)';
COMMENT ON COLUMN price_bands.model IS 'The model as agents name it';
