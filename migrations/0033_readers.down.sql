-- Undoes 0033_readers. Keys that may only read are revoked: without the column they could write.

UPDATE ingest_keys SET revoked_at = now() WHERE access <> 'write' AND revoked_at IS NULL;
ALTER TABLE ingest_keys DROP COLUMN IF EXISTS access;

DROP POLICY IF EXISTS "Readers see their customer" ON customers;
DROP POLICY IF EXISTS "Readers see sessions of their customer" ON agent_sessions;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_runs;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_steps;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_token_counts;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_scores;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_step_aliases;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON agent_messages;
DROP POLICY IF EXISTS "Readers see runs of their customer" ON approvals;
DROP FUNCTION IF EXISTS public.reads_run(uuid);
DROP FUNCTION IF EXISTS public.reads_session(uuid);
DROP FUNCTION IF EXISTS public.reader_customer();

DROP POLICY IF EXISTS "Users set no event times" ON approvals;
CREATE OR REPLACE FUNCTION public.decide_approval() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
DECLARE
  reason text;
BEGIN
  IF ROW(NEW.id, NEW.session_id, NEW.run_id, NEW.step_id, NEW.action_type, NEW.action_description, NEW.action_data,
         NEW.metadata, NEW.created_at, NEW.expires_at, NEW.requested_event_at)
     IS DISTINCT FROM
     ROW(OLD.id, OLD.session_id, OLD.run_id, OLD.step_id, OLD.action_type, OLD.action_description, OLD.action_data,
         OLD.metadata, OLD.created_at, OLD.expires_at, OLD.requested_event_at)
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
ALTER TABLE approvals DROP COLUMN IF EXISTS decided_event_at;
