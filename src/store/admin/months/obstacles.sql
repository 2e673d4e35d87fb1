-- What refers to the tables in a way that does not survive when they become partitions.
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM unnest(ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents']) AS t (name)
JOIN pg_class c ON c.oid = ('public.' || t.name)::regclass
JOIN pg_depend d ON d.deptype = 'n'
     AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid OR d.refclassid = 'pg_type'::regclass AND d.refobjid = c.reltype)
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
WHERE (k.oid IS NULL OR k.conrelid <> c.oid)
  AND (p.oid IS NULL OR p.polrelid <> c.oid)
  AND (g.oid IS NULL OR g.tgrelid <> c.oid)
  -- Plain views are made anew.
  AND (w.oid IS NULL OR v.relkind <> 'v')
UNION ALL
SELECT 'table ' || i.inhrelid::regclass || ', which inherits from ' || i.inhparent::regclass
FROM pg_inherits i
WHERE i.inhparent = ANY (ARRAY['public.agent_steps', 'public.agent_messages', 'public.agent_token_counts', 'public.agent_contents']::regclass[])
ORDER BY 1
