-- The tables that grow with the traces, and how large each is with its indexes and partitions. $1 the schemas of the tables of
-- runs: where each slot has its own, they count as one.
SELECT c.relname::text,
       sum(coalesce((SELECT sum(pg_total_relation_size(t.relid)) FROM pg_partition_tree(c.oid) AS t),
                    pg_total_relation_size(c.oid)))::bigint
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ('public'::text || $1::text[]) AND c.relkind IN ('r', 'p')
  AND c.relname NOT LIKE 'agent\_slot%'
  AND (c.relname LIKE 'agent\_%' OR c.relname LIKE 'ingest\_%' OR c.relname LIKE 'run\_sums%' OR c.relname = 'approvals')
GROUP BY c.relname
ORDER BY c.relname
