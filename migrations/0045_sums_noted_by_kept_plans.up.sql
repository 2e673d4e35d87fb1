-- Changes of runs are noted by plans that are kept.
--
-- Each batch with approvals, and each batch that ends runs, notes quarters of an hour whose sums have changed. The function was in
-- plain SQL, which is planned anew at each call. In the layout in slots it reads a view over all slots, and planning that took
-- up to 3 ms a call, for up to three calls a batch. PL/pgSQL keeps the plan for the session.
--
-- Rollback: 0045_sums_noted_by_kept_plans.down.sql

CREATE OR REPLACE FUNCTION public.note_run_sums(runs uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
BEGIN
  IF cardinality(runs) = 0 THEN
    RETURN;
  END IF;
  INSERT INTO public.run_sums_changes (at)
  SELECT DISTINCT public.quarter_hour(r.started_at)
  FROM public.agent_runs AS r
  WHERE r.id = ANY (note_run_sums.runs) AND r.started_at IS NOT NULL;
END
$function$;
