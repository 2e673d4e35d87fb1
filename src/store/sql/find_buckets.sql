-- The months of the runs $1, and the latest month that has begun, which is that of new runs (id NULL). The schema of a month is
-- NULL if the month was dropped.
WITH latest AS MATERIALIZED (
    SELECT m.bucket FROM public.agent_months m WHERE m.starts_at <= now() ORDER BY m.starts_at DESC LIMIT 1
)
SELECT n.id, b.bucket, m.schema_name
FROM unnest(array_append($1::uuid[], NULL)) AS n (id)
LEFT JOIN public.agent_runs r ON r.id = n.id
CROSS JOIN LATERAL (SELECT coalesce(r.bucket, (SELECT bucket FROM latest)) AS bucket) b
LEFT JOIN public.agent_months m ON m.bucket = b.bucket
