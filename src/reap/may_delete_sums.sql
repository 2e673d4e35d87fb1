-- Whether this role may delete every row of the sums.
SELECT bool_and(has_table_privilege(t.oid, 'DELETE') AND NOT row_security_active(t.oid))
FROM pg_class t
WHERE t.oid IN ('public.run_sums'::regclass, 'public.run_sums_days'::regclass)
