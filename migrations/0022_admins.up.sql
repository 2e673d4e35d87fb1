-- Admins get a table of their own. Before, users.is_admin made an admin. That column is in a table that may be
-- the product's, and a policy such as "edit your own profile" let every user set it.
--
-- The column stays, because it may be the product's own, and because nothing here drops what may be. It grants
-- nothing any more. If the schema was in use before this run, the users whose is_admin is true become rows of
-- runtraced_admins. `runtraced migrate` says so in the setting runtraced.schema_before: the newest migration
-- before the run. Without that setting nobody is taken over.
--
-- If the product has a function is_admin(uuid) of its own, that function decides, as before.
--
-- Rollback: 0022_admins.down.sql

CREATE TABLE runtraced_admins (
  user_id UUID PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
  granted_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  note TEXT
);

COMMENT ON TABLE runtraced_admins IS
  'Users who may read the rows of every customer and user, but not ingest_keys. Written by the operator; no policy lets '
  'a user read or write it';
COMMENT ON COLUMN runtraced_admins.user_id IS 'The user';
COMMENT ON COLUMN runtraced_admins.granted_at IS 'When the user became an admin, by the database''s clock';
COMMENT ON COLUMN runtraced_admins.note IS 'Remarks, for people: who asked for it, and why; NULL: none';

ALTER TABLE runtraced_admins ENABLE ROW LEVEL SECURITY;

DO $migration$
DECLARE
  taken_over bigint;
BEGIN
  -- Default privileges may have given rights on the new table. No policy is enough; this is certain.
  REVOKE ALL ON runtraced_admins FROM PUBLIC;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
    REVOKE ALL ON runtraced_admins FROM anon;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    REVOKE ALL ON runtraced_admins FROM authenticated;
  END IF;

  -- The product's own function stays.
  IF coalesce(obj_description('public.is_admin(uuid)'::regprocedure, 'pg_proc'), '') NOT LIKE '%[created by runtraced]' THEN
    RETURN;
  END IF;

  IF nullif(current_setting('runtraced.schema_before', true), '')::bigint >= 7 THEN
    INSERT INTO runtraced_admins (user_id, note)
    SELECT id, 'taken over from users.is_admin' FROM users WHERE is_admin;
    GET DIAGNOSTICS taken_over = ROW_COUNT;
    IF taken_over > 0 THEN
      RAISE WARNING '% users are admins because users.is_admin was true; check the rows of runtraced_admins', taken_over;
    END IF;
  END IF;

  CREATE OR REPLACE FUNCTION public.is_admin(user_id uuid) RETURNS boolean
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
  AS $function$
    SELECT EXISTS (
      SELECT
      FROM public.runtraced_admins AS a
      WHERE a.user_id = $1 AND ($1 = auth.uid() OR auth.jwt() IS NULL)
    )
  $function$;
  COMMENT ON FUNCTION public.is_admin(uuid) IS
    'True if the user is an admin (a row of runtraced_admins). A request gets true only for its own user; a connection without claims may ask about any user [created by runtraced]';
END
$migration$;

COMMENT ON COLUMN users.is_admin IS
  'Not used: it grants nothing. Admins are the rows of runtraced_admins. Before migration 22 it made an admin';
