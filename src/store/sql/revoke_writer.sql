-- Revokes from the role in the setting `runtraced.role` what grant_writer.sql granted, so that
-- the role can be dropped. Run it as the owner.
DO $revoke$
DECLARE
  writer CONSTANT text := current_setting('runtraced.role');
  one text;
BEGIN
  FOR one IN
    SELECT tablename FROM pg_policies
    WHERE schemaname = 'public' AND policyname = ('runtraced writes as ' || writer)::name
  LOOP
    EXECUTE format('DROP POLICY %I ON public.%I', 'runtraced writes as ' || writer, one);
  END LOOP;
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', writer);
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', writer);
  EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', writer);
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), writer);
END
$revoke$;
