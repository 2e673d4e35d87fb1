-- Undoes 0001_auth_shim: drops auth.uid(), auth.jwt() and the schema where
-- they are ours. Supabase's own carry no such comment and stay.

DO $migration$
DECLARE
  ours CONSTANT text := '%[created by runtraced]';
BEGIN
  IF obj_description(to_regprocedure('auth.uid()'), 'pg_proc') LIKE ours THEN
    DROP FUNCTION auth.uid();
  END IF;
  IF obj_description(to_regprocedure('auth.jwt()'), 'pg_proc') LIKE ours THEN
    DROP FUNCTION auth.jwt();
  END IF;
  IF obj_description(to_regnamespace('auth'), 'pg_namespace') LIKE ours THEN
    DROP SCHEMA auth;
  END IF;
END
$migration$;
