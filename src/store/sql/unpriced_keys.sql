-- Names in model_prices for calls by provider in a part of the steps, for which the catalog was not asked yet. $1 and $2: the
-- first page of the part, and the page behind it. Many steps tell the same, so that the names are made of what differs.
SELECT DISTINCT k.key
FROM (
  SELECT DISTINCT s.model, public.call_provider(s.metadata) AS provider, public.is_batch_call(s.metadata) AS batch
  FROM agent_steps AS s
  WHERE s.ctid >= format('(%s,0)', $1::bigint)::tid AND s.ctid < format('(%s,0)', $2::bigint)::tid
    AND s.model IS NOT NULL
) AS told
CROSS JOIN LATERAL unnest(
  public.price_keys(told.model, jsonb_build_object('provider', told.provider, 'batch', told.batch))
) AS k (key)
WHERE k.key <> told.model || ':batch'
  AND NOT EXISTS (SELECT FROM model_prices AS p WHERE p.model = k.key AND p.source = 'catalog')
