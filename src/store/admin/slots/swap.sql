-- Puts views over the slots in the place of the tables in `public`, and drops these. In one transaction, and under locks that hold up
-- everybody: so it copies nothing. Rows were copied and counted before.
LOCK TABLE public.agent_sessions, public.agent_runs, public.agent_steps, public.agent_contents, public.agent_run_scopes,
  public.agent_messages, public.agent_token_counts, public.agent_scores, public.agent_step_aliases, public.approvals
  IN ACCESS EXCLUSIVE MODE;
CREATE TABLE public.agent_slots (
  slot integer PRIMARY KEY,
  schema_name text NOT NULL UNIQUE
);
COMMENT ON TABLE public.agent_slots IS 'The slots that hold the runs, and all that is below them.';
COMMENT ON COLUMN public.agent_slots.slot IS 'Number of the slot, as run_slot() returns it.';
COMMENT ON COLUMN public.agent_slots.schema_name IS 'The schema of its tables, which have the names of the views in public.';
ALTER TABLE public.agent_slots ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Everyone sees the slots" ON public.agent_slots FOR SELECT USING (true);
SELECT public.keep_to_owner('public.agent_slots');
GRANT SELECT ON public.agent_slots TO PUBLIC;
INSERT INTO public.agent_slots
SELECT n, 'runtraced_' || lpad(n::text, 2, '0')
FROM public.agent_slot_moves AS m, generate_series(0, m.slots - 1) AS n WHERE m.slot = -1;

-- Approvals stay in `public`, where one id is one row, whatever slot its run is in: nobody can answer for another. A table cannot refer
-- to a view.
ALTER TABLE public.approvals DROP CONSTRAINT IF EXISTS approvals_run_id_fkey;

CREATE SCHEMA runtraced_whole;
SET LOCAL search_path = '';
DO $swap$
DECLARE
  -- The columns that name the run or session whose slot a row is in, and the key.
  tables CONSTANT text[] := ARRAY[
    ['agent_runs', 'id', 'id'], ['agent_steps', 'run_id', 'id'], ['agent_messages', 'coalesce(run_id, session_id)', 'id'],
    ['agent_token_counts', 'run_id', 'id'], ['agent_scores', 'run_id', 'id'],
    ['agent_contents', 'run_id', 'run_id hash'], ['agent_run_scopes', 'run_id', 'run_id'],
    ['agent_step_aliases', 'run_id', 'run_id id']];
  names CONSTANT text[] := tables[:][1:1];
  views CONSTANT jsonb := (
    SELECT jsonb_agg(DISTINCT jsonb_build_object(
             'name', v.oid::regclass, 'options', coalesce(array_to_string(v.reloptions, ', '), ''),
             'text', pg_get_viewdef(v.oid)))
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class AND v.relkind = 'v'
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.refobjid IN (SELECT ('public.' || t)::regclass FROM unnest(names) AS t));
  of_table text[];
  one text;
  old regclass;
  columns text;
  definition text;
  piece record;
BEGIN
  FOREACH one IN ARRAY names LOOP
    EXECUTE format('ALTER TABLE public.%I SET SCHEMA runtraced_whole', one);
  END LOOP;
  FOREACH of_table SLICE 1 IN ARRAY tables LOOP
    one := of_table[1];
    old := ('runtraced_whole.' || one)::regclass;
    columns := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = old AND a.attnum > 0 AND NOT a.attisdropped);
    definition := (SELECT string_agg(format('SELECT %s FROM %I.%I', columns, s.schema_name, one), ' UNION ALL ' ORDER BY s.slot)
                   FROM public.agent_slots AS s);
    EXECUTE format('CREATE VIEW public.%I WITH (security_invoker = true) AS %s', one, definition);
    EXECUTE format('COMMENT ON VIEW public.%I IS %L', one, obj_description(old, 'pg_class'));
    FOR piece IN
      SELECT a.attname, col_description(old, a.attnum) AS text, pg_get_expr(d.adbin, d.adrelid) AS value, a.attgenerated
      FROM pg_catalog.pg_attribute AS a
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = old AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
      EXECUTE format('COMMENT ON COLUMN public.%I.%I IS %L', one, piece.attname, piece.text);
      IF piece.value IS NOT NULL AND piece.attgenerated = '' THEN
        EXECUTE format('ALTER VIEW public.%I ALTER COLUMN %I SET DEFAULT %s', one, piece.attname, piece.value);
      END IF;
    END LOOP;
    EXECUTE format(
      'CREATE TRIGGER write_to_slot INSTEAD OF INSERT OR UPDATE OR DELETE ON public.%I FOR EACH ROW '
      'EXECUTE FUNCTION public.write_to_slot(%L, %L)', one, of_table[2], of_table[3]);
    EXECUTE format('ALTER VIEW public.%I OWNER TO %I', one, (SELECT pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class AS c WHERE c.oid = old));
    PERFORM public.share_as(old, ('public.' || one)::regclass);
  END LOOP;
  -- The same views, on the views that have the tables' names now.
  FOR piece IN
    SELECT v ->> 'name' AS name, v ->> 'options' AS options, replace(pg_get_viewdef((v ->> 'name')::regclass), 'runtraced_whole.', 'public.') AS text
    FROM jsonb_array_elements(coalesce(views, '[]')) AS v
  LOOP
    EXECUTE format('CREATE OR REPLACE VIEW %s%s AS %s', piece.name,
      CASE WHEN piece.options = '' THEN '' ELSE ' WITH (' || piece.options || ')' END, piece.text);
  END LOOP;
  EXECUTE format('DROP TABLE %s', (SELECT string_agg(format('runtraced_whole.%I', t), ', ') FROM unnest(names) AS t));
END
$swap$;
DROP SCHEMA runtraced_whole;
DROP FUNCTION public.refuse_while_moving();
