-- Refuses writes to the tables of runs, and makes empty tables in the slots, without indexes: rows are copied faster.
-- Daemons are kept out already (hold.sql).
CREATE FUNCTION public.refuse_while_moving() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  RAISE object_not_in_prerequisite_state USING
    MESSAGE = format('rows of %s move to slots: try again later', TG_TABLE_NAME),
    HINT = 'If nothing moves them, `runtraced migrate --slots N` goes on, and `runtraced migrate --slots 1` gives it up.';
END
$$;
COMMENT ON FUNCTION public.refuse_while_moving() IS 'Refuses writes while rows move to slots.';

DO $prepare$
DECLARE
  slots CONSTANT integer := (SELECT m.slots FROM public.agent_slot_moves AS m WHERE m.slot = -1);
  tables CONSTANT text[] := ARRAY['agent_runs', 'agent_steps', 'agent_messages', 'agent_token_counts', 'agent_scores', 'agent_contents',
    'agent_run_scopes', 'agent_step_aliases'];
  place text;
  one text;
BEGIN
  -- Number of the slot of a run, or of what has no run and goes by its session. A power of two divides the 256 values of a byte
  -- evenly. `share_of` in the daemon does the same.
  EXECUTE format($make$
    CREATE FUNCTION public.run_slot(id uuid) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    'SELECT get_byte(sha256(uuid_send(coalesce($1, ''00000000-0000-0000-0000-000000000000''))), 0) * %s / 256'$make$, slots);
  GRANT EXECUTE ON FUNCTION public.run_slot(uuid) TO PUBLIC;
  COMMENT ON FUNCTION public.run_slot(uuid) IS 'The slot of a run, or of what has no run and goes by its session.';

  FOREACH one IN ARRAY tables LOOP
    EXECUTE format(
      'CREATE TRIGGER refuse_while_moving BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.%I '
      'FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_while_moving()', one);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER refuse_while_moving', one);
  END LOOP;
  FOR slot IN 0 .. slots - 1 LOOP
    place := 'runtraced_' || lpad(slot::text, 2, '0');
    EXECUTE format('CREATE SCHEMA %I', place);
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', place, 'The runs of slot ' || slot || ' (run_slot), and all that is below them.');
    FOREACH one IN ARRAY tables LOOP
      EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE public.%2$I INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)', place, one);
      EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', place, one);
    END LOOP;
  END LOOP;
END
$prepare$;
