-- The next sessions that have no run and are kept no longer, as far as one sees at a glance (still_idle.sql looks closely). $1 how
-- long they are kept (NULL: for ever), unless a rule for all runs or for all runs of a customer says otherwise; $2 where the last
-- look ended; $3 how many are looked at; $4: rules do not matter; $5 their customer (NULL: any). Also returns where the look ended.
-- One of several servers keeps what was said of a session: others may have runs of it, and it may get some.
WITH page AS MATERIALIZED (
    SELECT s.id, coalesce(s.changed_at, s.updated_at, s.created_at) AS at,
           coalesce(s.tenant_id::text, s.customer_id::text, s.metadata ->> 'unresolved_customer_id') AS customer,
           s.merge_times IS NOT NULL AND to_regprocedure('public.store_server()') IS NOT NULL AS is_shared
    FROM agent_sessions s
    WHERE s.id > $2::uuid
    ORDER BY s.id
    LIMIT $3::bigint
)
SELECT p.id, k.since::text AS since,
       (p.at < k.since AND NOT p.is_shared AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.session_id = p.id)
        AND ($5::text[] IS NULL OR p.customer = ANY ($5))) IS TRUE AS due
FROM page p
CROSS JOIN LATERAL (
    SELECT now() - CASE WHEN r.is_rule THEN r.keep ELSE $1::text::interval END AS since
    FROM (VALUES (1)) AS one
    LEFT JOIN LATERAL (
        SELECT k.keep, true AS is_rule
        FROM retention_rules k
        WHERE NOT $4::boolean AND k.status IS NULL AND k.agent_id IS NULL
          AND (k.customer_id IS NULL OR k.customer_id::text = p.customer)
        ORDER BY k.customer_id IS NULL, k.keep DESC NULLS FIRST
        LIMIT 1
    ) r ON true
) k
ORDER BY p.id
