-- Gives up a move that has not ended: the rows are where they were.
DO $cancel$
DECLARE
  one text;
BEGIN
  FOR one IN SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.nspname ~ '^runtraced_\d\d$' ORDER BY 1 LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', one);
  END LOOP;
END
$cancel$;
DROP FUNCTION IF EXISTS public.refuse_while_moving() CASCADE;
DROP FUNCTION IF EXISTS public.run_slot(uuid), public.rights_on(regclass), public.keep_to_owner(regclass), public.share_as(regclass, regclass),
  public.share_slot(text), public.share_slots(), public.follow_grants(), public.write_to_slot(), public.refuse_if_changed(record, record),
  public.refuse_generated(text, text[], boolean[], boolean[]);
