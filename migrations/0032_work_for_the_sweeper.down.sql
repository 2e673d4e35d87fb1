-- Undoes 0032_work_for_the_sweeper. What the sweeper had still to do stays undone until a later event
-- of its run.

DO $migration$
DECLARE
  helper regprocedure;
BEGIN
  FOREACH helper IN ARRAY ARRAY[
    'public.merge_observed(jsonb, jsonb)', 'public.merge_services(jsonb, jsonb)',
    'public.observed_customer_id(jsonb)', 'public.observed_metadata(jsonb, boolean)',
    'public.ingest_migrations()', 'public.ingest_write_epoch()'
  ]::regprocedure[] LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', helper);
  END LOOP;
END
$migration$;

DROP INDEX IF EXISTS idx_agent_runs_settle;
ALTER TABLE agent_runs DROP COLUMN IF EXISTS settle_at;
