-- Undoes 0022_admins: users.is_admin makes an admin again, and the rows of runtraced_admins are written to it.
-- Before you run it, look for users who set the column themselves: they become admins.

DO $migration$
BEGIN
  IF coalesce(obj_description('public.is_admin(uuid)'::regprocedure, 'pg_proc'), '') NOT LIKE '%[created by runtraced]' THEN
    RETURN;
  END IF;

  UPDATE users SET is_admin = true
  WHERE id IN (SELECT user_id FROM runtraced_admins) AND is_admin IS NOT true;

  CREATE OR REPLACE FUNCTION public.is_admin(user_id uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $function$
      SELECT EXISTS (
        SELECT
        FROM public.users AS u
        WHERE u.id = $1 AND u.is_admin AND ($1 = auth.uid() OR auth.jwt() IS NULL)
      )
    $function$;
  COMMENT ON FUNCTION public.is_admin(uuid) IS
    'True if the user is an admin (users.is_admin). A request gets true only for its own user; a connection without claims may ask about any user [created by runtraced]';
END
$migration$;

DROP TABLE IF EXISTS runtraced_admins;

COMMENT ON COLUMN users.is_admin IS
  'True: the user may read the rows of every customer and user, but not ingest_keys. Only the operator sets it; no '
  'policy lets a user write it';
