-- Revokes from the role in the setting `runtraced.role` what grant_writer.sql granted, so that
-- the role can be dropped. Run it as the owner.
DO $revoke$
DECLARE
  writer CONSTANT text := current_setting('runtraced.role');
  one record;
BEGIN
  FOR one IN
    SELECT schemaname, tablename FROM pg_policies WHERE policyname = ('runtraced writes as ' || writer)::name
  LOOP
    EXECUTE format('DROP POLICY %I ON %I.%I', 'runtraced writes as ' || writer, one.schemaname, one.tablename);
  END LOOP;
  IF public.customers_schema() IS NOT NULL THEN
    EXECUTE format('REVOKE ALL ON %I.customers FROM %I', public.customers_schema(), writer);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', public.customers_schema(), writer);
  END IF;
  IF to_regclass('public.agent_months') IS NOT NULL THEN
    FOR one IN SELECT schema_name FROM public.agent_months LOOP
      EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', one.schema_name, writer);
      EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', one.schema_name, writer);
    END LOOP;
  END IF;
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', writer);
  IF to_regclass('public.agent_slots') IS NOT NULL THEN
    PERFORM public.share_slots();
  END IF;
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', writer);
  EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', writer);
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), writer);
END
$revoke$;
