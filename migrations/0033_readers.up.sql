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

-- What a person decided stands, whatever an agent reports later.

ALTER TABLE approvals ADD COLUMN decided_event_at TIMESTAMPTZ;
COMMENT ON COLUMN approvals.decided_event_at IS
  'Merge state: decided_at as the ApprovalDecided gave it that the row shows; NULL or another time: no event decided, and none changes the decision';

CREATE OR REPLACE FUNCTION public.decide_approval() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
DECLARE
  reason text;
BEGIN
  IF ROW(NEW.id, NEW.session_id, NEW.run_id, NEW.step_id, NEW.action_type, NEW.action_description, NEW.action_data,
         NEW.metadata, NEW.created_at, NEW.expires_at, NEW.requested_event_at, NEW.decided_event_at)
     IS DISTINCT FROM
     ROW(OLD.id, OLD.session_id, OLD.run_id, OLD.step_id, OLD.action_type, OLD.action_description, OLD.action_data,
         OLD.metadata, OLD.created_at, OLD.expires_at, OLD.requested_event_at, OLD.decided_event_at)
  THEN
    reason := 'a user may only decide an approval: status, decided_by, decided_at and notes';
  ELSIF ROW(NEW.status, NEW.decided_by, NEW.decided_at, NEW.notes)
        IS NOT DISTINCT FROM ROW(OLD.status, OLD.decided_by, OLD.decided_at, OLD.notes)
  THEN
    RETURN NEW;
  ELSIF OLD.status IN ('approved', 'rejected', 'expired') THEN
    reason := 'the approval is decided already';
  ELSIF NEW.status IN ('approved', 'rejected') THEN
    IF NEW.decided_by <> auth.uid() THEN
      reason := 'decided_by must be the current user';
    END IF;
    NEW.decided_by := auth.uid();
    NEW.decided_at := now();
  ELSIF NEW.status IS DISTINCT FROM OLD.status THEN
    reason := 'a user may only approve or reject';
  ELSIF ROW(NEW.decided_by, NEW.decided_at) IS DISTINCT FROM ROW(OLD.decided_by, OLD.decided_at) THEN
    reason := 'decided_by and decided_at need a decision';
  END IF;
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = reason;
  END IF;
  RETURN NEW;
END
$function$;

-- A user who inserts an approval must not mark it either.
CREATE POLICY "Users set no event times" ON approvals AS RESTRICTIVE FOR INSERT
  WITH CHECK ((SELECT auth.jwt()) IS NULL OR decided_event_at IS NULL);
