-- What the layout in slots needs again after each migration, because the texts of functions are those of the migrations. You may run
-- it again.

-- Functions that ask which policies a table of runs has ask the table of the first slot: a view has none.
DO $policies$
DECLARE
  one record;
BEGIN
  PERFORM set_config('search_path', '', true);
  FOR one IN
    SELECT p.oid FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f' AND p.prosrc ~ '''public\.(agent_|approvals)\w*''::regclass'
      AND p.proname NOT IN ('write_to_slot', 'share_slot')
  LOOP
    EXECUTE regexp_replace(
      pg_get_functiondef(one.oid),
      '''public\.(agent_runs|agent_steps|agent_messages|agent_token_counts|approvals|agent_scores|agent_contents|agent_run_scopes|agent_step_aliases)''::regclass',
      '''runtraced_00.\1''::regclass', 'g');
  END LOOP;
END
$policies$;

-- The epoch of writers that know slots. To others, the names in `public` look like tables, and they would lock nothing.
DO $epoch$
DECLARE
  epoch CONSTANT integer := public.ingest_write_epoch();
BEGIN
  IF epoch < 10000 THEN
    EXECUTE format('CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer LANGUAGE sql STABLE SET search_path = '''' AS ''SELECT %s''',
      epoch + 10000);
  END IF;
END
$epoch$;
