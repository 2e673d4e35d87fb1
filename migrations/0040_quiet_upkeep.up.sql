-- Upkeep costs as much as what changed.
--
-- Indexes by time: with `autosummarize`, COPY asks autovacuum for each new range of pages, and says in the server's log when that
-- has too many requests already: thousands of lines a minute. Without it, vacuum summarises; until then a question by time also
-- reads the newest pages.
--
-- Prices: each start of a daemon writes the catalog's prices anew, which mostly changes nothing. The sums by model are only
-- looked at where a price changed.
--
-- Rollback: 0040_quiet_upkeep.down.sql

ALTER INDEX idx_agent_steps_time RESET (autosummarize);
ALTER INDEX idx_agent_token_counts_time RESET (autosummarize);

CREATE OR REPLACE FUNCTION public.note_run_sums_of_prices() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
DECLARE
  models text[] := '{}';
BEGIN
  IF TG_OP <> 'INSERT' THEN
    models := models || ARRAY(SELECT DISTINCT o.model FROM old_rows AS o);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    models := models || ARRAY(SELECT DISTINCT n.model FROM new_rows AS n);
  END IF;
  IF models = '{}' THEN
    RETURN NULL;
  END IF;
  -- Sums that are being made by the old prices are noted too: the lock waits for them.
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(1920204803, 0);
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
