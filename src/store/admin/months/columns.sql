-- Prepares the tables for partitions, as far as no long lock is needed. You may run it again. Existing rows get bucket 0, which
-- costs no rewrite: Postgres notes the default.
DO $columns$
DECLARE
  one text;
BEGIN
  ALTER TABLE public.agent_runs ADD COLUMN IF NOT EXISTS bucket integer NOT NULL DEFAULT 0;
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents'] LOOP
    EXECUTE format('ALTER TABLE public.%I ADD COLUMN IF NOT EXISTS bucket integer NOT NULL DEFAULT 0', one);
    -- Not validated yet, so it holds for new rows and reads none.
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = ('public.' || one)::regclass AND conname = 'runtraced_first_bucket') THEN
      EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT runtraced_first_bucket CHECK (bucket = 0) NOT VALID', one);
    END IF;
  END LOOP;
END
$columns$;
