-- Creates the role in the setting `runtraced.reader` if there is none, gives it what a reader of the web needs, and lets the
-- role in `runtraced.role` take it. Rows are decided by the policies, so the role sees nothing without claims. You may run
-- it again at any time; run it again after a migration that adds a view.
DO $grant$
DECLARE
  reader CONSTANT text := current_setting('runtraced.reader');
  member CONSTANT text := current_setting('runtraced.role');
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN', reader);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- Roles belong to the server: somebody made it for another database just now.
    END;
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', reader);
  EXECUTE format(
    'GRANT SELECT ON public.agent_sessions, public.agent_runs, public.agent_steps, public.agent_contents, public.agent_run_scopes, '
    'public.agent_messages, '
    'public.agent_token_counts, public.approvals, public.agent_scores, public.agent_step_aliases, public.model_prices, '
    'public.price_bands, '
    'public.run_summary, public.run_timeline, public.agent_token_costs, public.run_costs, '
    'public.session_costs, public.agent_costs, public.daily_costs, public.unpriced_models, public.run_sums, '
    'public.run_sums_days, public.run_sums_changes, public.run_sums_open TO %I', reader);
  IF public.customers_schema() IS NOT NULL THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', public.customers_schema(), reader);
    EXECUTE format('GRANT SELECT (id, name) ON %I.customers TO %I', public.customers_schema(), reader);
  END IF;
  EXECUTE format(
    'GRANT EXECUTE ON FUNCTION public.customer_names(), public.content_value(uuid, jsonb), '
    'public.content_of(uuid, uuid, uuid[]), public.named_run(), '
    'public.named_run_owned(), public.named_run_read(), public.shared_content(uuid, uuid), '
    'public.content_references(uuid, boolean), public.shared_text(uuid, uuid[], text), public.run_shares_text(uuid, text), '
    'public.runs_sharing_text(text) TO %I', reader);
  IF to_regclass('public.agent_slots') IS NOT NULL THEN
    PERFORM public.share_slots();
  END IF;
  -- A superuser may take any role.
  IF NOT pg_has_role(member, reader, 'MEMBER') THEN
    EXECUTE format('GRANT %I TO %I', reader, member);
  END IF;
END
$grant$;
