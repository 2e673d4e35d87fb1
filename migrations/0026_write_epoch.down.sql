-- Undoes 0026_write_epoch.

DO $migration$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'approvals'] LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS forget_run_totals ON public.%I', one);
  END LOOP;
END
$migration$;
DROP FUNCTION IF EXISTS public.forget_run_totals();
DROP FUNCTION IF EXISTS public.ingest_write_epoch();
DROP FUNCTION IF EXISTS public.ingest_migrations();
