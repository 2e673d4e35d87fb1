-- The tables that grow with the traces, and how large each is with its indexes.
SELECT c.relname::text, pg_total_relation_size(c.oid)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND (c.relname LIKE 'agent\_%' OR c.relname LIKE 'ingest\_%' OR c.relname LIKE 'run\_sums%' OR c.relname = 'approvals')
ORDER BY c.relname
