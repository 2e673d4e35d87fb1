-- What row level security asks "who is it?": auth.uid() and auth.jwt().
--
-- Supabase has both in its own `auth` schema; there this migration changes
-- nothing. Elsewhere it creates what is missing, reading the same settings
-- (`request.jwt.claims`, and the older `request.jwt.claim.sub`), so that the
-- policies are the same on both. Ours are told apart by their comment.
--
-- A session says who it acts for, for the length of a transaction, with
--   SELECT set_config('request.jwt.claims', '{"sub":"<users.id>"}', true);
-- Whoever may run SQL of his own can say so too: on plain Postgres hand out
-- connections, not passwords.
--
-- Rollback: 0001_auth_shim.down.sql

DO $migration$
BEGIN
  IF to_regnamespace('auth') IS NULL THEN
    CREATE SCHEMA auth;
    COMMENT ON SCHEMA auth IS 'Who a query acts for, as on Supabase [created by runtraced]';
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
  END IF;

  -- PL/pgSQL, because only it can turn malformed claims into NULL: a broken
  -- claim must show nothing, not break the query.
  IF to_regprocedure('auth.jwt()') IS NULL THEN
    CREATE FUNCTION auth.jwt() RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = ''
    AS $function$
    BEGIN
      RETURN coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
      )::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
      RETURN NULL;
    END
    $function$;
    COMMENT ON FUNCTION auth.jwt() IS
      'The claims of the current request, or NULL when there are none or they are no JSON [created by runtraced]';
  END IF;

  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE FUNCTION auth.uid() RETURNS uuid
    LANGUAGE plpgsql STABLE SET search_path = ''
    AS $function$
    BEGIN
      RETURN coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
      )::uuid;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
      RETURN NULL;
    END
    $function$;
    COMMENT ON FUNCTION auth.uid() IS
      'The user (users.id) of the current request, or NULL for nobody [created by runtraced]';
  END IF;
END
$migration$;
