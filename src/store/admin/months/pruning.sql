-- Lets views and functions that read one run look in its month only: one that names no bucket looks in the indexes of all months.
-- Their texts are those of the migrations, so this runs after each migration. You may run it again.
DO $pruning$
DECLARE
  -- The month of the run that a function is called for.
  of_run CONSTANT text := '(SELECT public.bucket_of_run($1))';
  one text;
  definition text;
BEGIN
  -- So that the texts name the schema.
  PERFORM set_config('search_path', '', true);
  FOREACH one IN ARRAY ARRAY['agent_token_costs', 'run_summary', 'run_timeline'] LOOP
    definition := pg_catalog.pg_get_viewdef(('public.' || one)::regclass);
    CONTINUE WHEN definition ~ '\mbucket\M';
    definition := regexp_replace(definition, '\ms\.run_id = r\.id\M', 's.run_id = r.id AND s.bucket = r.bucket', 'g');
    definition := regexp_replace(
      definition, '(agent_(?:messages|token_counts|token_costs) ([mc])\s+WHERE \(+\2\.run_id = r\.id)\)', '\1 AND \2.bucket = r.bucket)', 'g');
    IF one = 'agent_token_costs' THEN
      definition := regexp_replace(definition, '\ms\.id = c\.step_id\M', 's.id = c.step_id AND s.bucket = c.bucket', 'g');
      definition := regexp_replace(definition, '\mp\.priced_as(\s+FROM)', 'p.priced_as, c.bucket\1');
    END IF;
    EXECUTE format('CREATE OR REPLACE VIEW public.%I WITH (security_invoker = true) AS %s', one, definition);
    IF one = 'agent_token_costs' THEN
      COMMENT ON COLUMN public.agent_token_costs.bucket IS 'The month of the run (agent_months).';
    END IF;
  END LOOP;
  FOREACH one IN ARRAY ARRAY['run_step_tree(uuid)', 'content_of(uuid, uuid, uuid[])'] LOOP
    definition := pg_catalog.pg_get_functiondef(('public.' || one)::regprocedure);
    CONTINUE WHEN definition ~ '\mbucket\M';
    EXECUTE regexp_replace(definition, '\m([sc])\.run_id = \$1', '\1.run_id = $1 AND \1.bucket = ' || of_run, 'g');
  END LOOP;
END
$pruning$;
