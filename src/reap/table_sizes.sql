-- The tables that grow with the traces, and how large each is with its indexes and partitions.
SELECT c.relname::text,
       coalesce((SELECT sum(pg_total_relation_size(t.relid)) FROM pg_partition_tree(c.oid) AS t)::bigint, pg_total_relation_size(c.oid))
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND (c.relname LIKE 'agent\_%' OR c.relname LIKE 'ingest\_%' OR c.relname LIKE 'run\_sums%' OR c.relname = 'approvals')
ORDER BY c.relname
