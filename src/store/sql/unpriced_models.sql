-- Models of token counts in a part of the table for which the catalog was not asked yet. $1 and $2: the first page of the
-- part, and the page behind it.
SELECT DISTINCT used.model
FROM agent_token_counts AS c
CROSS JOIN LATERAL (
  SELECT coalesce(c.model, (SELECT s.model FROM agent_steps AS s WHERE s.id = c.step_id)) AS model
) AS used
WHERE c.ctid >= format('(%s,0)', $1::bigint)::tid AND c.ctid < format('(%s,0)', $2::bigint)::tid
  AND used.model IS NOT NULL
  AND NOT EXISTS (SELECT FROM model_prices AS p WHERE p.model = used.model AND p.source = 'catalog')
