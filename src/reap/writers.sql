-- The transactions that may have written traces or dead letters that nobody sees yet.
SELECT DISTINCT l.virtualtransaction
FROM pg_locks l
WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN ('public.agent_runs'::regclass, 'public.agent_sessions'::regclass, 'public.agent_messages'::regclass,
                     'public.approvals'::regclass, 'public.agent_step_aliases'::regclass, 'public.ingest_dead_letters'::regclass)
