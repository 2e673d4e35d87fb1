-- Undoes 0040_quiet_upkeep.

CREATE OR REPLACE FUNCTION public.note_run_sums_of_prices() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
DECLARE
  models text[] := '{}';
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(1920204803, 0);
  IF TG_OP <> 'INSERT' THEN
    models := models || ARRAY(SELECT DISTINCT o.model FROM old_rows AS o);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    models := models || ARRAY(SELECT DISTINCT n.model FROM new_rows AS n);
  END IF;
  INSERT INTO public.run_sums_changes (at)
  SELECT DISTINCT s.at
  FROM public.run_sums AS s
  WHERE s.owner = '00000000-0000-0000-0000-000000000000' AND s.part = 'calls'
    AND (s.name = ANY (models) OR s.name IN (
      -- Rows by provider or of batches are about their model.
      SELECT regexp_replace(m.model, '(@[^@:]+)?(:batch)?$', '') FROM unnest(models) AS m (model)));
  RETURN NULL;
END
$function$;

ALTER INDEX idx_agent_token_counts_time SET (autosummarize = on);
ALTER INDEX idx_agent_steps_time SET (autosummarize = on);
