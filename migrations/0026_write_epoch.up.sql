-- What a daemon asks before it writes: which migrations are applied, and by which rules the
-- tables are written. A function needs no grant, so a role that only writes can ask, too.
--
-- A change of the write rules (how events merge, what `summed_by` means) comes with a migration
-- that replaces ingest_write_epoch() by one that returns the next number.
--
-- And what keeps the totals right when somebody else than a daemon changes rows below a run that
-- is still running: his change takes away the mark of the writer that knows their sums. Daemons
-- set `runtraced.writer` in their sessions, and pay for no more than the look at it.
--
-- Rollback: 0026_write_epoch.down.sql

CREATE FUNCTION public.ingest_migrations() RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
BEGIN
  RETURN ARRAY(SELECT m.version FROM public._sqlx_migrations AS m WHERE m.success ORDER BY m.version);
END
$function$;

COMMENT ON FUNCTION public.ingest_migrations() IS
  'The versions of the migrations that are applied; a daemon asks before it writes';

CREATE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 1 $function$;

COMMENT ON FUNCTION public.ingest_write_epoch() IS
  'The epoch of the rules by which daemons write the agent tables; a daemon of another epoch does not write';

CREATE FUNCTION public.forget_run_totals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
DECLARE
  changed uuid[];
BEGIN
  changed := CASE TG_OP WHEN 'DELETE' THEN ARRAY[OLD.run_id] ELSE ARRAY[OLD.run_id, NEW.run_id] END;
  UPDATE public.agent_runs SET summed_by = NULL WHERE id = ANY (changed) AND summed_by IS NOT NULL;
  RETURN NULL;
END
$function$;

COMMENT ON FUNCTION public.forget_run_totals() IS
  'Trigger: clears agent_runs.summed_by of the run whose rows somebody other than a daemon changes';

DO $migration$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'approvals'] LOOP
    -- No INSERT: COPY would pay for it with each row.
    EXECUTE format(
      'CREATE TRIGGER forget_run_totals AFTER UPDATE OR DELETE ON public.%I FOR EACH ROW '
      'WHEN (current_setting(''runtraced.writer'', true) IS DISTINCT FROM ''on'') '
      'EXECUTE FUNCTION public.forget_run_totals()', one);
  END LOOP;
END
$migration$;
