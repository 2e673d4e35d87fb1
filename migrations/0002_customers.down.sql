-- Undoes 0002_customers: drops its tables with their data. Tables that were there before
-- it ran are not ours: they stay, with the columns and indexes it added.

DO $migration$
DECLARE
  created text;
BEGIN
  FOREACH created IN ARRAY ARRAY['entitlements', 'contracts', 'stakeholders', 'customers', 'users'] LOOP
    IF obj_description(to_regclass(created), 'pg_class') LIKE '%[created by runtraced]' THEN
      EXECUTE format('DROP TABLE %I', created);
    END IF;
  END LOOP;
END
$migration$;
