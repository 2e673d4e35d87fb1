-- Undoes 0045_sums_noted_by_kept_plans.

CREATE OR REPLACE FUNCTION public.note_run_sums(runs uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
  INSERT INTO public.run_sums_changes (at)
  SELECT DISTINCT public.quarter_hour(r.started_at)
  FROM public.agent_runs AS r
  WHERE r.id = ANY ($1) AND r.started_at IS NOT NULL
$function$;
