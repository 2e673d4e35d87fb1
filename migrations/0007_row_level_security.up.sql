-- Row level security on every table.
--
-- A request acts for auth.uid(); nobody (NULL) sees nothing. A customer-success
-- manager sees and edits the data of his customers, a user his own sessions
-- and what happened in them, an admin sees everything (and writes only what is
-- his own besides). Traces themselves are read only: the daemon writes them.
-- The daemon connects as the owner of the tables, whom policies do not bind.
--
-- Policies get at ownership through the owns_* functions, so that one place
-- changes. These read with the owner's rights, or the policies would call each
-- other for ever; they answer only about the one who asks, so nothing leaks.
-- auth.uid() stands in a sub-select so that it is evaluated once a query.
--
-- Rollback: 0007_row_level_security.down.sql

-- What IF (NOT) EXISTS skips is nothing to report.
SET LOCAL client_min_messages = warning;

DO $migration$
BEGIN
  IF to_regprocedure('public.is_admin(uuid)') IS NULL THEN
    -- Through a request one learns only about oneself; a connection without
    -- claims (an operator's psql) may ask about anybody.
    CREATE FUNCTION public.is_admin(user_id uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $function$
      SELECT EXISTS (
        SELECT
        FROM public.users AS u
        WHERE u.id = $1 AND u.is_admin AND ($1 = auth.uid() OR auth.jwt() IS NULL)
      )
    $function$;
    COMMENT ON FUNCTION public.is_admin(uuid) IS
      'Whether a user is an admin (users.is_admin); a request gets true only about itself [created by runtraced]';
  END IF;
END
$migration$;

CREATE FUNCTION public.owns_customer(customer_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
  SELECT EXISTS (SELECT FROM public.customers AS c WHERE c.id = $1 AND c.csm_id = auth.uid())
$function$;
COMMENT ON FUNCTION public.owns_customer(uuid) IS
  'Whether the current request''s user looks after this customer, soft-deleted or not';

CREATE FUNCTION public.owns_contract(contract_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
  SELECT EXISTS (SELECT FROM public.contracts AS c WHERE c.id = $1 AND public.owns_customer(c.customer_id))
$function$;
COMMENT ON FUNCTION public.owns_contract(uuid) IS
  'Whether this contract is of a customer whom the current request''s user looks after';

CREATE FUNCTION public.owns_session(session_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
  SELECT EXISTS (SELECT FROM public.agent_sessions AS s WHERE s.id = $1 AND s.user_id = auth.uid())
$function$;
COMMENT ON FUNCTION public.owns_session(uuid) IS 'Whether a session is that of the request''s user';

CREATE FUNCTION public.owns_run(run_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $function$
  SELECT EXISTS (
    SELECT
    FROM public.agent_runs AS r
    WHERE r.id = $1
      AND CASE
        WHEN r.session_id IS NOT NULL THEN public.owns_session(r.session_id)
        ELSE public.owns_customer(r.customer_id)
      END
  )
$function$;
COMMENT ON FUNCTION public.owns_run(uuid) IS
  'Whether this run is of the current request''s user''s own session or, where it has no session, of a customer of his';

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE stakeholders ENABLE ROW LEVEL SECURITY;
ALTER TABLE contracts ENABLE ROW LEVEL SECURITY;
ALTER TABLE entitlements ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_token_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE health_scores ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_signals ENABLE ROW LEVEL SECURITY;
ALTER TABLE renewal_pipeline ENABLE ROW LEVEL SECURITY;
ALTER TABLE qbrs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingest_ledger ENABLE ROW LEVEL SECURITY;

-- A product that has the seed's tables has the seed's policies too: these take
-- their place.
DROP POLICY IF EXISTS "CSMs see assigned customers" ON customers;
DROP POLICY IF EXISTS "Users see own sessions" ON agent_sessions;
DROP POLICY IF EXISTS "Users see session approvals" ON approvals;

-- The seed's three.

CREATE POLICY "CSMs see assigned customers" ON customers FOR SELECT
  USING (csm_id = (SELECT auth.uid()) OR (SELECT public.is_admin(auth.uid())));

CREATE POLICY "Users see own sessions" ON agent_sessions FOR ALL
  USING (user_id = (SELECT auth.uid()))
  WITH CHECK (user_id = (SELECT auth.uid()));

-- An approval in one's own session must not point at another's run: it would
-- show up in his timeline.
CREATE POLICY "Users see session approvals" ON approvals FOR ALL
  USING (public.owns_session(session_id))
  WITH CHECK (public.owns_session(session_id) AND (run_id IS NULL OR public.owns_run(run_id)));

-- The tables of a customer, after the seed's pattern.

DO $migration$
DECLARE
  customer_table text;
BEGIN
  FOREACH customer_table IN ARRAY ARRAY[
    'stakeholders', 'contracts', 'health_scores', 'usage_metrics', 'risk_signals', 'renewal_pipeline', 'qbrs'
  ] LOOP
    EXECUTE format('DROP POLICY IF EXISTS "Users can access their customers'' data" ON %I', customer_table);
    EXECUTE format(
      'CREATE POLICY "Users can access their customers'' data" ON %I FOR ALL
         USING (public.owns_customer(customer_id))
         WITH CHECK (public.owns_customer(customer_id))',
      customer_table
    );
  END LOOP;
END
$migration$;

-- An entitlement must not hang off another's contract either.
DROP POLICY IF EXISTS "Users can access their customers' data" ON entitlements;
CREATE POLICY "Users can access their customers' data" ON entitlements FOR ALL
  USING (public.owns_customer(customer_id))
  WITH CHECK (public.owns_customer(customer_id) AND (contract_id IS NULL OR public.owns_contract(contract_id)));

-- Traces: read only, but for the messages of one's own sessions.

CREATE POLICY "Users see own runs" ON agent_runs FOR SELECT
  USING (
    CASE
      WHEN session_id IS NOT NULL THEN public.owns_session(session_id)
      ELSE public.owns_customer(customer_id)
    END
  );

CREATE POLICY "Users see steps of own runs" ON agent_steps FOR SELECT
  USING (public.owns_run(run_id));

CREATE POLICY "Users see token counts of own runs" ON agent_token_counts FOR SELECT
  USING (public.owns_run(run_id));

CREATE POLICY "Users access messages of own sessions" ON agent_messages FOR ALL
  USING (public.owns_session(session_id))
  WITH CHECK (public.owns_session(session_id) AND (run_id IS NULL OR public.owns_run(run_id)));

CREATE POLICY "Users see messages of own runs" ON agent_messages FOR SELECT
  USING (run_id IS NOT NULL AND public.owns_run(run_id));

CREATE POLICY "Users see approvals of own runs" ON approvals FOR SELECT
  USING (session_id IS NULL AND run_id IS NOT NULL AND public.owns_run(run_id));

-- Nobody but the operator writes users: is_admin would be anyone's to set.
CREATE POLICY "Users see themselves" ON users FOR SELECT
  USING (id = (SELECT auth.uid()));

-- Admins see everything but the keys, which nobody does through a policy.

DO $migration$
DECLARE
  any_table text;
BEGIN
  FOREACH any_table IN ARRAY ARRAY[
    'users', 'stakeholders', 'contracts', 'entitlements', 'agent_sessions', 'agent_messages', 'agent_runs',
    'agent_steps', 'agent_token_counts', 'approvals', 'health_scores', 'usage_metrics', 'risk_signals',
    'renewal_pipeline', 'qbrs', 'ingest_dead_letters', 'ingest_ledger'
  ] LOOP
    EXECUTE format(
      'CREATE POLICY "Admins see everything" ON %I FOR SELECT USING ((SELECT public.is_admin(auth.uid())))',
      any_table
    );
  END LOOP;
END
$migration$;
