-- Gives the role in the setting `runtraced.role` what the daemon needs to write,
-- and takes away what it had beside that on the tables of the schema. Harmless to
-- repeat; to be repeated after a migration that adds a table. Run as the owner.
DO $grant$
DECLARE
  writer CONSTANT text := current_setting('runtraced.role');
  policy CONSTANT text := 'runtraced writes as ' || writer;
  one text;
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', writer);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), writer);
  -- It was needed once.
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM %I', current_database(), writer);
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', writer);

  -- What traces become. Policies bind by row and are for people: the daemon needs every row.
  FOREACH one IN ARRAY ARRAY[
    'agent_sessions', 'agent_runs', 'agent_steps', 'agent_messages', 'agent_token_counts', 'approvals',
    'agent_step_aliases', 'ingest_dead_letters', 'ingest_ledger'
  ] LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON public.%I TO %I', one, writer);
    EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', policy, one);
    EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO %I USING (true) WITH CHECK (true)', policy, one, writer);
  END LOOP;
  -- The sweeper drops aliases of traces that are no agent's.
  EXECUTE format('GRANT DELETE ON public.agent_step_aliases TO %I', writer);

  -- Whether a customer or a user is known, and no more of either.
  FOREACH one IN ARRAY ARRAY['customers', 'users'] LOOP
    EXECUTE format('GRANT SELECT (id) ON public.%I TO %I', one, writer);
    EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', policy, one);
    EXECUTE format('CREATE POLICY %I ON public.%I FOR SELECT TO %I USING (true)', policy, one, writer);
  END LOOP;

  -- Keys are made by operators; one of a customer who was deleted is not valid.
  EXECUTE format('GRANT SELECT (deleted_at) ON public.customers TO %I', writer);
  EXECUTE format('GRANT SELECT ON public.ingest_keys TO %I', writer);
  EXECUTE format('DROP POLICY IF EXISTS %I ON public.ingest_keys', policy);
  EXECUTE format('CREATE POLICY %I ON public.ingest_keys FOR SELECT TO %I USING (true)', policy, writer);
END
$grant$;
