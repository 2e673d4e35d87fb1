-- What a key may do, and which rows a reader of one customer sees.
--
-- Until now every key could write and nothing else. Those keys stay as they are.
--
-- A reader of one customer comes with the claim `runtraced_customer`, which the daemon sets for a read key that is bound to
-- a customer. It shows what belongs to that customer: the runs made with its keys or, where no key made them, the runs that
-- name it, and what is in them. A JSON Web Token of Supabase has no such claim unless the operator adds it.
--
-- Rollback: 0033_readers.down.sql

ALTER TABLE ingest_keys
  ADD COLUMN access TEXT NOT NULL DEFAULT 'write' CHECK (access IN ('write', 'read', 'decide'));

COMMENT ON COLUMN ingest_keys.access IS
  'What the key may do: write (send events, read nothing), read (read traces, write nothing), decide (read, and decide approvals)';

CREATE FUNCTION public.reader_customer() RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = ''
AS $function$
BEGIN
  RETURN (auth.jwt() ->> 'runtraced_customer')::uuid;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END
$function$;
COMMENT ON FUNCTION public.reader_customer() IS
  'The customer whose traces the current request may read, from the claim runtraced_customer; NULL: none by that claim';

CREATE FUNCTION public.reads_session(session_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
  SELECT EXISTS (
    SELECT
    FROM public.agent_sessions AS s
    WHERE s.id = $1 AND coalesce(s.tenant_id, s.customer_id) = public.reader_customer()
  )
$function$;
COMMENT ON FUNCTION public.reads_session(uuid) IS
  'True if the session belongs to the customer that the current request may read';

CREATE FUNCTION public.reads_run(run_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
  SELECT EXISTS (
    SELECT
    FROM public.agent_runs AS r
    LEFT JOIN public.agent_sessions AS s ON s.id = r.session_id
    WHERE r.id = $1
      AND coalesce(r.tenant_id, r.customer_id, s.tenant_id, s.customer_id) = public.reader_customer()
  )
$function$;
COMMENT ON FUNCTION public.reads_run(uuid) IS
  'True if the run belongs to the customer that the current request may read';

CREATE POLICY "Readers see their customer" ON customers FOR SELECT
  USING (id = (SELECT public.reader_customer()));

-- The first condition is evaluated once per query and spares everybody else the rest.
CREATE POLICY "Readers see sessions of their customer" ON agent_sessions FOR SELECT
  USING (
    (SELECT public.reader_customer()) IS NOT NULL
    AND coalesce(tenant_id, customer_id) = (SELECT public.reader_customer())
  );

CREATE POLICY "Readers see runs of their customer" ON agent_runs FOR SELECT
  USING (
    (SELECT public.reader_customer()) IS NOT NULL
    AND CASE
      WHEN coalesce(tenant_id, customer_id) IS NOT NULL
        THEN coalesce(tenant_id, customer_id) = (SELECT public.reader_customer())
      ELSE session_id IS NOT NULL AND public.reads_session(session_id)
    END
  );

DO $migration$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_token_counts', 'agent_scores', 'agent_step_aliases'] LOOP
    EXECUTE format(
      'CREATE POLICY "Readers see runs of their customer" ON %I FOR SELECT '
      'USING ((SELECT public.reader_customer()) IS NOT NULL AND public.reads_run(run_id))', one);
  END LOOP;
  FOREACH one IN ARRAY ARRAY['agent_messages', 'approvals'] LOOP
    EXECUTE format(
      'CREATE POLICY "Readers see runs of their customer" ON %I FOR SELECT USING ('
      '(SELECT public.reader_customer()) IS NOT NULL '
      'AND CASE WHEN run_id IS NOT NULL THEN public.reads_run(run_id) ELSE public.reads_session(session_id) END)', one);
  END LOOP;
END
$migration$;
