-- What a user may write in agent_sessions, agent_messages and approvals. The policies so far say whose rows a user may
-- write; these say which values. They hold whatever rights a role was granted, because Supabase grants all of them,
-- and a product may grant them too.
--
-- A user could create a session under an id that the daemon would use later, with any tenant_id, and then read what
-- the daemon wrote into it. A user could also answer an approval in the name of somebody else, or change what was to be
-- approved.
--
-- They bind every request: whoever is bound by policies and has claims. The daemon has none, and policies do not bind the
-- owner.
-- Policies see only the new row, so triggers compare it with the old one. They run after the update, because a trigger
-- before it locks each row a second time; only decisions need to be completed before.
--
-- Rollback: 0023_user_writes.down.sql

CREATE FUNCTION public.is_random_id(id uuid) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT substr($1::text, 15, 1) = '4'
$function$;
COMMENT ON FUNCTION public.is_random_id(uuid) IS
  'True if the id is a random UUID (version 4). Users may choose only such ids: the daemon derives ids of other versions '
  'from names, and a user could predict those';

-- With the rights of the caller, so the product's policies on customers apply.
CREATE FUNCTION public.sees_customer(customer_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = ''
AS $function$
BEGIN
  RETURN EXISTS (SELECT FROM public.customers AS c WHERE c.id = $1);
END
$function$;
COMMENT ON FUNCTION public.sees_customer(uuid) IS 'True if the policies on customers let the current user see this customer';

CREATE FUNCTION public.refuse_user_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = ''
AS $function$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = TG_ARGV[0];
END
$function$;
COMMENT ON FUNCTION public.refuse_user_write() IS
  'Trigger: refuses what a user may not write, with the reason that the trigger names';

-- Sessions.

CREATE POLICY "Users set only what is theirs to set" ON agent_sessions AS RESTRICTIVE FOR INSERT
  WITH CHECK (
    (SELECT auth.jwt()) IS NULL
    OR (
      public.is_random_id(id) AND tenant_id IS NULL AND merge_times IS NULL AND external_id IS NULL
      AND (customer_id IS NULL OR public.sees_customer(customer_id))
    )
  );

CREATE TRIGGER users_set_only_what_is_theirs AFTER UPDATE ON agent_sessions
  FOR EACH ROW
  WHEN (
    row_security_active('agent_sessions'::regclass)
    AND (
      ROW(NEW.id, NEW.tenant_id, NEW.merge_times, NEW.external_id)
        IS DISTINCT FROM ROW(OLD.id, OLD.tenant_id, OLD.merge_times, OLD.external_id)
      OR NEW.customer_id IS DISTINCT FROM OLD.customer_id
        AND (
          OLD.tenant_id IS NOT NULL OR OLD.merge_times IS NOT NULL
          OR NEW.customer_id IS NOT NULL AND NOT public.sees_customer(NEW.customer_id)
        )
    )
    AND auth.jwt() IS NOT NULL
  )
  EXECUTE FUNCTION public.refuse_user_write(
    'a user may not change id, tenant_id, merge_times, external_id, or the customer of a session that events describe');

COMMENT ON COLUMN agent_sessions.tenant_id IS
  'Merge state: the customer whose tenant key created the row; keys of other customers may not write to it. NULL: '
  'created without a tenant key, so customer_id decides if an event set it (merge_times[1]); otherwise no tenant key '
  'may write to it';

-- Messages. No trigger on insert: COPY would write them one by one.

CREATE POLICY "Users set only what is theirs to set" ON agent_messages AS RESTRICTIVE FOR INSERT
  WITH CHECK ((SELECT auth.jwt()) IS NULL OR (public.is_random_id(id) AND sighting IS NULL));

CREATE TRIGGER users_set_only_what_is_theirs AFTER UPDATE ON agent_messages
  FOR EACH ROW
  WHEN (
    (NEW.id IS DISTINCT FROM OLD.id OR NEW.sighting IS DISTINCT FROM OLD.sighting)
    AND row_security_active('agent_messages'::regclass)
    AND auth.jwt() IS NOT NULL
  )
  EXECUTE FUNCTION public.refuse_user_write('a user may not change id or sighting of a message');

-- Approvals.

CREATE POLICY "Users set only what is theirs to set" ON approvals AS RESTRICTIVE FOR INSERT
  WITH CHECK (
    (SELECT auth.jwt()) IS NULL
    OR (
      public.is_random_id(id) AND requested_event_at IS NULL
      AND (status IS NULL OR status = 'pending') AND decided_by IS NULL AND decided_at IS NULL
    )
  );

-- With the owner's rights: a role that is bound by policies may lack rights on the schema auth.
CREATE FUNCTION public.decide_approval() RETURNS trigger
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
COMMENT ON FUNCTION public.decide_approval() IS
  'Trigger: lets a user decide a pending approval once, in the user''s own name, and change nothing else of it. Sets '
  'decided_by and decided_at of the decision';

CREATE TRIGGER users_decide_once BEFORE UPDATE ON approvals
  FOR EACH ROW
  WHEN (row_security_active('approvals'::regclass) AND auth.jwt() IS NOT NULL)
  EXECUTE FUNCTION public.decide_approval();
