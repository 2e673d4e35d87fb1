-- Grants the role in the setting `runtraced.role` what the daemon needs to write, and revokes
-- everything else that it had on the tables of the schema. You may run it again at any time;
-- run it again after a migration that adds a table. Run it as the owner.
DO $grant$
DECLARE
  writer CONSTANT text := current_setting('runtraced.role');
  policy CONSTANT text := 'runtraced writes as ' || writer;
  -- NULL: there are no customer tables.
  customers CONSTANT text := quote_ident(public.customers_schema()) || '.customers';
  one text;
  place text;
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', writer);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), writer);
  -- Older versions granted it.
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM %I', current_database(), writer);
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', writer);
  IF customers IS NOT NULL THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', public.customers_schema(), writer);
    EXECUTE format('REVOKE ALL ON %s FROM %I', customers, writer);
    -- A key of a deleted customer is not valid.
    EXECUTE format('GRANT SELECT (deleted_at) ON %s TO %I', customers, writer);
  END IF;

  -- The tables that the daemon writes. The other policies limit rows by user; the daemon needs
  -- every row, so it gets a policy of its own.
  FOREACH one IN ARRAY ARRAY[
    'agent_sessions', 'agent_runs', 'agent_steps', 'agent_contents', 'agent_messages', 'agent_token_counts', 'approvals',
    'agent_scores', 'agent_step_aliases', 'agent_content_scopes', 'agent_run_scopes', 'agent_shared_contents', 'agent_stale_scopes',
    'ingest_dead_letters', 'ingest_ledger'
  ] LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON public.%I TO %I', one, writer);
    -- In slots, the name in `public` is a view, and policies belong to the tables below it.
    FOR place IN
      SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relname = one AND c.relkind IN ('r', 'p')
        AND (n.nspname = 'public' OR to_regclass('public.agent_slots') IS NOT NULL AND n.nspname ~ '^runtraced_\d\d$')
    LOOP
      EXECUTE format('DROP POLICY IF EXISTS %I ON %I.%I', policy, place, one);
      EXECUTE format('CREATE POLICY %I ON %I.%I FOR ALL TO %I USING (true) WITH CHECK (true)', policy, place, one, writer);
    END LOOP;
  END LOOP;
  -- The page reads as this role for the operator.
  EXECUTE format(
    'GRANT SELECT ON public.run_summary, public.run_timeline, public.price_bands, public.agent_token_costs, public.run_costs, '
    'public.session_costs, public.agent_costs, public.daily_costs, public.unpriced_models, public.run_sums, '
    'public.run_sums_days, public.run_sums_changes, public.run_sums_open TO %I', writer);
  -- The daemon writes the catalog's prices.
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.model_prices TO %I', writer);
  EXECUTE format('DROP POLICY IF EXISTS %I ON public.model_prices', policy);
  EXECUTE format('CREATE POLICY %I ON public.model_prices FOR ALL TO %I USING (source = ''catalog'') WITH CHECK (source = ''catalog'')', policy, writer);
  -- The daemon ignores events of what was deleted.
  EXECUTE format('GRANT SELECT, INSERT ON public.ingest_tombstones TO %I', writer);
  EXECUTE format('DROP POLICY IF EXISTS %I ON public.ingest_tombstones', policy);
  EXECUTE format('CREATE POLICY %I ON public.ingest_tombstones FOR ALL TO %I USING (true) WITH CHECK (true)', policy, writer);
  -- The sweeper deletes aliases whose run never arrived.
  EXECUTE format('GRANT DELETE ON public.agent_step_aliases TO %I', writer);

  -- Functions that its statements call.
  FOREACH one IN ARRAY ARRAY[
    'merge_observed(jsonb, jsonb)', 'merge_services(jsonb, jsonb)', 'observed_customer_id(jsonb)',
    'observed_metadata(jsonb, boolean)', 'ingest_migrations()', 'ingest_write_epoch()', 'note_run_sums(uuid[])',
    'fill_run_sums(bigint, bigint, interval)', 'fill_run_sums_days()', 'known_customer(uuid)', 'customer_names()',
    'content_value(uuid, jsonb)', 'content_of(uuid, uuid, uuid[])', 'named_run()', 'named_run_owned()', 'named_run_read()',
    'shared_content(uuid, uuid)', 'shared_content_of(uuid, uuid, uuid[])', 'shared_pieces(uuid, uuid[])',
    'content_references(uuid, boolean)', 'unneeded_contents(uuid)', 'shared_text(uuid, uuid[], text)',
    'run_shares_text(uuid, text)', 'runs_sharing_text(text)'
  ] LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION public.%s TO %I', one, writer);
  END LOOP;

  -- The daemon checks whether a customer or a user exists, and reads nothing else of them.
  FOREACH one IN ARRAY array_remove(ARRAY[customers, 'public.users'], NULL) LOOP
    EXECUTE format('GRANT SELECT (id) ON %s TO %I', one, writer);
    EXECUTE format('DROP POLICY IF EXISTS %I ON %s', policy, one);
    EXECUTE format('CREATE POLICY %I ON %s FOR SELECT TO %I USING (true)', policy, one, writer);
  END LOOP;

  -- The daemon only reads keys; operators create them.
  EXECUTE format('GRANT SELECT ON public.ingest_keys TO %I', writer);
  EXECUTE format('DROP POLICY IF EXISTS %I ON public.ingest_keys', policy);
  EXECUTE format('CREATE POLICY %I ON public.ingest_keys FOR SELECT TO %I USING (true)', policy, writer);

  -- In the layout by month, it also writes the partitions, and asks for new ones.
  IF to_regclass('public.agent_months') IS NOT NULL THEN
    EXECUTE format('GRANT SELECT ON public.agent_months TO %I', writer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION public.agent_bucket(), public.prepare_months() TO %I', writer);
    PERFORM public.share_month(m.schema_name, t)
    FROM public.agent_months AS m,
         unnest(ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents']) AS t;
  END IF;
  IF to_regclass('public.agent_slots') IS NOT NULL THEN
    PERFORM public.share_slots();
  END IF;
END
$grant$;
