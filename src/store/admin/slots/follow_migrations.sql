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
    WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f' AND p.prosrc ~ '''public\.(agent_runs|agent_steps|agent_messages|agent_token_counts|agent_scores|agent_contents|agent_run_scopes|agent_step_aliases)''::regclass'
      AND pg_has_role(p.proowner, 'USAGE')
  LOOP
    EXECUTE regexp_replace(
      pg_get_functiondef(one.oid),
      '''public\.(agent_runs|agent_steps|agent_messages|agent_token_counts|agent_scores|agent_contents|agent_run_scopes|agent_step_aliases)''::regclass',
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

-- A token count names its step by the id alone, and the steps of two slots may have the same id. Those that are meant are of the same run.
DO $steps$
DECLARE
  one record;
  definition text;
BEGIN
  PERFORM set_config('search_path', '', true);
  FOR one IN
    SELECT v.oid::regclass AS name, coalesce(array_to_string(v.reloptions, ', '), '') AS options, pg_get_viewdef(v.oid) AS text
    FROM pg_catalog.pg_class AS v WHERE v.oid = 'public.agent_token_costs'::regclass
  LOOP
    CONTINUE WHEN one.text ~ '\ms\.run_id = c\.run_id\M';
    definition := regexp_replace(one.text, '\(?\ms\.id = c\.step_id\M\)?', '(s.id = c.step_id AND s.run_id = c.run_id)', 'g');
    EXECUTE format('CREATE OR REPLACE VIEW %s WITH (%s) AS %s', one.name, one.options, definition);
  END LOOP;
  definition := pg_get_functiondef('public.run_sums_of(uuid[], text, interval, boolean)'::regprocedure);
  IF definition ~ 'WHERE s\.id = c\.step_id\)' THEN
    EXECUTE replace(definition, 'WHERE s.id = c.step_id)', 'WHERE s.id = c.step_id AND s.run_id = c.run_id)');
  END IF;
END
$steps$;

-- Rights follow those on the views, where the owner may make event triggers.
DO $follow$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'runtraced_share_slots') THEN
    CREATE EVENT TRIGGER runtraced_share_slots ON ddl_command_end WHEN TAG IN ('GRANT', 'REVOKE') EXECUTE FUNCTION public.follow_grants();
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  NULL; -- The owner is no superuser, and calls share_slots().
END
$follow$;
