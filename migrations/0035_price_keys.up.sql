-- Prices by provider, and of batches: the same model costs something else at another provider, or where nobody waits for it.
--
-- A row of model_prices may name, behind the model, the provider (`gpt-4o@azure`), that the calls are batches (`gpt-4o:batch`),
-- or both (`gpt-4o@azure:batch`). A call has the price of the narrowest row that there is. Its step says who the provider is
-- (gen_ai.provider.name and the like in the metadata), and whether it was a batch.
--
-- Rollback: 0035_price_keys.down.sql

COMMENT ON COLUMN model_prices.model IS
  'The model as agents name it (agent_token_counts.model); behind it @ and a provider, :batch for batches, or both';
COMMENT ON COLUMN price_bands.model IS 'As in model_prices: price_key() tells which of them a call has';

CREATE FUNCTION public.call_provider(metadata jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT lower(coalesce(
    $1 ->> 'gen_ai.provider.name', $1 ->> 'gen_ai.system', $1 ->> 'llm.provider', $1 ->> 'ai.model.provider', $1 ->> 'provider'
  ))
$function$;
COMMENT ON FUNCTION public.call_provider(jsonb) IS
  'Who was paid for a call, as the metadata of its step says; NULL: unknown';

CREATE FUNCTION public.is_batch_call(metadata jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT coalesce(lower(coalesce(
    $1 ->> 'gen_ai.openai.response.service_tier', $1 ->> 'gen_ai.response.service_tier', $1 ->> 'gen_ai.usage.service_tier',
    $1 ->> 'gen_ai.openai.request.service_tier', $1 ->> 'gen_ai.request.service_tier', $1 ->> 'service_tier'
  )) = 'batch' OR $1 ->> 'batch' = 'true', false)
$function$;
COMMENT ON FUNCTION public.is_batch_call(jsonb) IS 'Whether a call was part of a batch, as the metadata of its step says';

CREATE FUNCTION public.price_keys(model text, metadata jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = ''
AS $function$
  SELECT array_remove(ARRAY[
    CASE WHEN batch THEN $1 || '@' || provider || ':batch' END,
    CASE WHEN batch THEN $1 || ':batch' END,
    $1 || '@' || provider
  ], NULL)
  FROM (SELECT public.call_provider($2) AS provider, public.is_batch_call($2) AS batch) AS told
$function$;
COMMENT ON FUNCTION public.price_keys(text, jsonb) IS
  'Which rows of model_prices are about a call more narrowly than its model alone, the narrowest first';

CREATE FUNCTION public.price_key(model text, step_id uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = ''
AS $function$
  SELECT coalesce((
    SELECT k.key
    FROM public.agent_steps AS s
    CROSS JOIN LATERAL unnest(public.price_keys($1, s.metadata)) WITH ORDINALITY AS k (key, rank)
    WHERE s.id = $2 AND EXISTS (
      SELECT
      FROM public.model_prices AS m
      WHERE m.model = k.key AND num_nonnulls(m.input, m.output, m.cache_read, m.cache_write, m.reasoning) > 0
    )
    ORDER BY k.rank
    LIMIT 1
  ), $1)
$function$;
COMMENT ON FUNCTION public.price_key(text, uuid) IS
  'Under which name model_prices has the price of a call: its model, or that with provider or batch';

-- So that only their calls are looked at one by one.
CREATE FUNCTION public.models_with_keys() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = ''
AS $function$
  SELECT DISTINCT regexp_replace(m.model, '(@[^@:]+)?(:batch)?$', '')
  FROM public.model_prices AS m
  WHERE m.model ~ '(@[^@:]+|:batch)$' AND num_nonnulls(m.input, m.output, m.cache_read, m.cache_write, m.reasoning) > 0
$function$;
COMMENT ON FUNCTION public.models_with_keys() IS 'Models that have prices by provider, or of batches';

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
CROSS JOIN LATERAL (
  SELECT CASE WHEN used.model IN (SELECT public.models_with_keys())
    THEN public.price_key(used.model, c.step_id)
    ELSE used.model
  END AS key
) AS named
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
  WHERE m.model = named.key AND m.valid_from <= c.created_at AND m.above_input_tokens < greatest(used.c_input, 1)
  ORDER BY m.source = 'operator' DESC, m.valid_from DESC, m.above_input_tokens DESC
  LIMIT 1
) AS p ON true
WHERE NOT c.rollup;
