-- What would not survive, or not go on to work, when the tables become partitions. Each row names one thing.
WITH tables AS (
    SELECT c.oid, c.relname, c.reltype
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace
      AND c.relname IN ('agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents')
)
-- References to a table or to its row type, but for what belongs to the table and plain views, which are made anew.
SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM tables t
JOIN pg_depend d ON d.deptype = 'n'
     AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid OR d.refclassid = 'pg_type'::regclass AND d.refobjid = t.reltype)
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
WHERE (k.oid IS NULL OR k.conrelid <> t.oid)
  AND (p.oid IS NULL OR p.polrelid <> t.oid)
  AND (g.oid IS NULL OR g.tgrelid <> t.oid)
  AND (e.oid IS NULL OR e.adrelid <> t.oid)
  AND (w.oid IS NULL OR v.relkind <> 'v')
UNION
SELECT format('view %s, which belongs to another role', v.oid::regclass)
FROM tables t
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite w ON w.oid = d.objid
JOIN pg_class v ON v.oid = w.ev_class AND v.relkind = 'v'
WHERE NOT pg_has_role(v.relowner, 'USAGE')
UNION
SELECT format('table %s, which inherits from %s', i.inhrelid::regclass, t.relname)
FROM tables t JOIN pg_inherits i ON t.oid IN (i.inhparent, i.inhrelid)
UNION
-- A partition takes no value from the sequence of an identity column.
SELECT format('identity column %s of %s', a.attname, t.relname)
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attidentity <> '' AND NOT a.attisdropped
UNION
-- A key of a partitioned table has the bucket.
SELECT format('unique index %s of %s', i.indexrelid::regclass, t.relname)
FROM tables t JOIN pg_index i ON i.indrelid = t.oid AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary
WHERE i.indexrelid::regclass::text NOT LIKE '%agent\_%\_bucket\_key'
UNION
SELECT format('constraint %s of %s, which is not valid or not inherited', k.conname, t.relname)
FROM tables t JOIN pg_constraint k ON k.conrelid = t.oid AND (NOT k.convalidated OR k.contype = 'c' AND k.connoinherit)
WHERE k.conname NOT IN ('runtraced_first_bucket', 'runtraced_run_bucket')
UNION
SELECT format('%s, which has no reference %I to agent_runs', t.relname, t.relname || '_run_id_fkey')
FROM tables t
WHERE NOT EXISTS (
    SELECT FROM pg_constraint k
    WHERE k.conrelid = t.oid AND k.contype = 'f' AND k.conname = t.relname || '_run_id_fkey')
UNION
-- The daemon writes to partitions directly, so a trigger for each statement on the table does not see it. runtraced's own one is
-- about deletions, which name the table.
SELECT format('trigger %s of %s, for each statement or with transition tables', g.tgname, t.relname)
FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
WHERE (g.tgtype & 1 = 0 OR g.tgnewtable IS NOT NULL OR g.tgoldtable IS NOT NULL) AND g.tgname <> 'run_sums_deleted'
UNION
SELECT format('publication %s of %s, which names partitions and not their table: set publish_via_partition_root', u.pubname, t.relname)
FROM tables t
JOIN pg_publication_rel l ON l.prrelid = t.oid
JOIN pg_publication u ON u.oid = l.prpubid AND NOT u.pubviaroot
ORDER BY 1
