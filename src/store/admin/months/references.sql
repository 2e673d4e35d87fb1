-- References from rows to the bucket of their run, beside the references to the run. They are not validated yet. You may run it
-- again.
DO $references$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents'] LOOP
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = ('public.' || one)::regclass AND conname = 'runtraced_run_bucket') THEN
      EXECUTE format(
        'ALTER TABLE public.%I ADD CONSTRAINT runtraced_run_bucket FOREIGN KEY (run_id, bucket) '
        'REFERENCES public.agent_runs (id, bucket) NOT VALID', one);
    END IF;
  END LOOP;
END
$references$;
