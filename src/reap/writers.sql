-- The transactions that may have written traces or dead letters that nobody sees yet. $1 the schemas of the tables of runs.
SELECT DISTINCT l.virtualtransaction
FROM pg_locks l
WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.relation IN ('public.agent_sessions'::regclass, 'public.ingest_dead_letters'::regclass)
       OR l.relation IN (
           SELECT to_regclass(s.name || '.' || t.name)
           FROM unnest($1::text[]) AS s (name)
           CROSS JOIN unnest(ARRAY['agent_runs', 'agent_messages', 'approvals', 'agent_step_aliases']) AS t (name)))
