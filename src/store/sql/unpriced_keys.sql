-- Names in model_prices for calls by provider in a part of the steps, for which the catalog was not asked yet. $1 and $2: the
-- first page of the part, and the page behind it.
SELECT DISTINCT k.key
FROM agent_steps AS s
CROSS JOIN LATERAL unnest(public.price_keys(s.model, s.metadata)) AS k (key)
WHERE s.ctid >= format('(%s,0)', $1::bigint)::tid AND s.ctid < format('(%s,0)', $2::bigint)::tid
  AND s.model IS NOT NULL AND k.key <> s.model || ':batch'
  AND NOT EXISTS (SELECT FROM model_prices AS p WHERE p.model = k.key AND p.source = 'catalog')
