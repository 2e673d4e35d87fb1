-- Whether each table that is searched has its index. Where runs are in slots, each slot has tables of its own.
SELECT coalesce(bool_and(EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisvalid AND x.relname = s.index_name)), false)
FROM (VALUES ('agent_runs', 'runtraced_search_runs'), ('agent_steps', 'runtraced_search_steps'),
             ('agent_contents', 'runtraced_search_contents'), ('agent_shared_contents', 'runtraced_search_shared'),
             ('agent_messages', 'runtraced_search_messages')) AS s (table_name, index_name)
JOIN pg_class c ON c.relname = s.table_name AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' OR to_regclass('public.agent_slots') IS NOT NULL AND n.nspname ~ '^runtraced_[0-9]{2}$'
