-- The tables $1 whose policies do not bind the current role, and those that it may not read. Where runs are in slots, the
-- names in public are views, which must read with the rights of whoever asks, and each slot has tables of its own.
SELECT coalesce(array_agg(DISTINCT t.name ORDER BY t.name) FILTER (WHERE NOT t.bound), '{}'),
       coalesce(array_agg(DISTINCT t.name ORDER BY t.name) FILTER (WHERE NOT t.readable), '{}')
FROM (
    SELECT c.relname::text AS name,
           CASE c.relkind
               WHEN 'v' THEN (l.in_slots AND c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on']) IS TRUE
               ELSE row_security_active(c.oid) END AS bound,
           has_table_privilege(c.oid, 'SELECT') AND (n.nspname = 'public' OR has_schema_privilege(n.oid, 'USAGE')) AS readable
    FROM (SELECT to_regclass('public.agent_slots') IS NOT NULL AS in_slots) AS l
    CROSS JOIN pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = ANY ($1::text[]::name[]) AND (n.nspname = 'public' OR l.in_slots AND n.nspname ~ '^runtraced_[0-9]{2}$')
) AS t
