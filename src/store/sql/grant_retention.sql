-- Lets the role in the setting `runtraced.role` delete traces too: for --retain, prune and erase. It runs after grant_writer.sql.
DO $grant$
DECLARE
  writer CONSTANT text := current_setting('runtraced.role');
  policy CONSTANT text := 'runtraced writes as ' || writer;
BEGIN
  EXECUTE format(
    'GRANT DELETE ON public.agent_sessions, public.agent_runs, public.agent_steps, public.agent_contents, public.agent_messages, '
    'public.agent_token_counts, public.approvals, public.agent_scores, public.agent_step_aliases, '
    'public.agent_content_scopes, public.agent_run_scopes, public.agent_shared_contents, public.agent_stale_scopes, '
    'public.ingest_dead_letters, public.ingest_ledger TO %I', writer);
  EXECUTE format('GRANT UPDATE, DELETE ON public.ingest_tombstones TO %I', writer);
  EXECUTE format('GRANT SELECT ON public.retention_rules TO %I', writer);
  EXECUTE format('DROP POLICY IF EXISTS %I ON public.retention_rules', policy);
  EXECUTE format('CREATE POLICY %I ON public.retention_rules FOR SELECT TO %I USING (true)', policy, writer);
  IF to_regclass('public.agent_months') IS NOT NULL THEN
    EXECUTE format('GRANT EXECUTE ON FUNCTION public.is_month_held(integer), public.drop_month(integer) TO %I', writer);
  END IF;
  IF to_regclass('public.agent_slots') IS NOT NULL THEN
    PERFORM public.share_slots();
  END IF;
END
$grant$;
