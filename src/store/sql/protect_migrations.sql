-- Keeps sqlx's table of migrations from everybody but its owner, whom policies do not bind. Supabase gives anon all
-- rights on new tables of the schema public, and whoever deletes rows here makes the next migration fail.
-- Changes nothing if the table is protected already.
DO $protect$
DECLARE
  visitor text;
BEGIN
  IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = '_sqlx_migrations'::regclass) THEN
    ALTER TABLE _sqlx_migrations ENABLE ROW LEVEL SECURITY;
  END IF;
  FOR visitor IN
    SELECT DISTINCT coalesce(quote_ident(r.rolname), 'PUBLIC')
    FROM pg_class AS c
    CROSS JOIN aclexplode(c.relacl) AS a
    LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE c.oid = '_sqlx_migrations'::regclass AND (a.grantee = 0 OR r.rolname IN ('anon', 'authenticated'))
  LOOP
    EXECUTE format('REVOKE ALL ON _sqlx_migrations FROM %s', visitor);
  END LOOP;
END
$protect$;
