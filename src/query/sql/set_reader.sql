-- Sets the claims $1 and the role $2, and tells whether policies bind the role on every table with traces, $3. Where runs are in
-- slots, the names in public are views: these must read with the rights of whoever asks, and each slot has tables of its own.
SELECT CASE WHEN set_config('request.jwt.claims', $1, true) IS NOT NULL AND set_config('role', $2, true) IS NOT NULL THEN (
    SELECT bool_and(CASE c.relkind
        WHEN 'v' THEN (l.in_slots AND c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on']) IS TRUE
        ELSE row_security_active(c.oid) END)
    FROM (SELECT to_regclass('public.agent_slots') IS NOT NULL AS in_slots) AS l
    CROSS JOIN pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = ANY ($3::text[]::name[]) AND c.relkind IN ('r', 'p', 'v')
      AND (n.nspname = 'public' OR l.in_slots AND n.nspname ~ '^runtraced_[0-9]{2}$')
) END AS bound
