-- Undoes 0003_agent_tables: drops its tables with their data. Tables that were there before
-- it ran are not ours: they stay, with the columns and indexes it added.

DO $migration$
DECLARE
  created text;
BEGIN
  FOREACH created IN ARRAY ARRAY['approvals', 'agent_steps', 'agent_messages', 'agent_runs', 'agent_sessions'] LOOP
    IF obj_description(to_regclass(created), 'pg_class') LIKE '%[created by runtraced]' THEN
      EXECUTE format('DROP TABLE %I', created);
    END IF;
  END LOOP;
END
$migration$;
