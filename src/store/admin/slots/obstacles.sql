-- What would not survive, or not go on to work, when the tables of runs become views over slots. Each row names one thing.
WITH tables AS (
    SELECT c.oid, c.relname, c.reltype
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace
      AND c.relname IN (
          'agent_runs', 'agent_steps', 'agent_messages', 'agent_token_counts', 'agent_scores', 'agent_contents',
          'agent_run_scopes', 'agent_step_aliases')
)
-- References to a table or to its row type, but for what belongs to the tables and plain views, which are made anew.
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS obstacle
FROM tables t
JOIN pg_depend d ON d.deptype = 'n'
     AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid OR d.refclassid = 'pg_type'::regclass AND d.refobjid = t.reltype)
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
-- Of the references to runs, only runtraced's own go on.
WHERE (k.oid IS NULL OR NOT (
          k.conrelid = t.oid AND (k.contype <> 'f' OR k.confrelid <> t.oid)
          OR k.contype = 'f' AND t.relname = 'agent_runs' AND k.conname = (SELECT c.relname FROM pg_class c WHERE c.oid = k.conrelid) || '_run_id_fkey'
             AND (k.conrelid IN (SELECT oid FROM tables) OR k.conrelid = 'public.approvals'::regclass)))
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
-- Such a view reads with its owner's rights; the view below it would ask for those of whoever reads.
SELECT format('view %s, which others may read with the rights of its owner: set security_invoker', v.oid::regclass)
FROM tables t
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite w ON w.oid = d.objid
JOIN pg_class v ON v.oid = w.ev_class AND v.relkind = 'v'
WHERE NOT coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(v.reloptions) o WHERE o.option_name = 'security_invoker'), false)
  AND EXISTS (SELECT FROM aclexplode(v.relacl) a WHERE a.grantee <> v.relowner)
UNION
SELECT format('table %s, which inherits from %s', i.inhrelid::regclass, t.relname)
FROM tables t JOIN pg_inherits i ON t.oid IN (i.inhparent, i.inhrelid)
UNION
-- Each slot would count from 1.
SELECT format('identity column %s of %s', a.attname, t.relname)
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attidentity <> '' AND NOT a.attisdropped
UNION
SELECT format('sequence %s of a column of %s', d.objid::regclass, t.relname)
FROM tables t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
UNION
-- It would hold in each slot alone.
SELECT format('unique index %s of %s', i.indexrelid::regclass, t.relname)
FROM tables t JOIN pg_index i ON i.indrelid = t.oid AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary
UNION
SELECT format('constraint %s of %s, which is not valid', k.conname, t.relname)
FROM tables t JOIN pg_constraint k ON k.conrelid = t.oid AND NOT k.convalidated
UNION
SELECT format('publication %s of %s', u.pubname, t.relname)
FROM tables t
JOIN pg_publication_rel l ON l.prrelid = t.oid
JOIN pg_publication u ON u.oid = l.prpubid
UNION
SELECT format('publication %s of all tables', u.pubname) FROM pg_publication u WHERE u.puballtables
UNION
SELECT format('publication %s of the schema public', u.pubname)
FROM pg_publication_namespace l JOIN pg_publication u ON u.oid = l.pnpubid WHERE l.pnnspid = 'public'::regnamespace
UNION
SELECT format('row level security of %s, which holds for its owner too', t.relname)
FROM tables t JOIN pg_class c ON c.oid = t.oid
WHERE c.relforcerowsecurity AND NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.rolname = current_user)
UNION
SELECT format('schema %s', n.nspname)
FROM pg_namespace n
WHERE n.nspname ~ '^runtraced_(\d\d|whole)$' AND to_regclass('public.agent_slot_moves') IS NULL
UNION
SELECT 'partitions by month'
WHERE to_regclass('public.agent_months') IS NOT NULL
ORDER BY 1
