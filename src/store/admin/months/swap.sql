-- Makes each table a partitioned one, with the table as it was as its first partition. In one transaction, and under locks that
-- hold up everybody: so it reads no rows. What was to be read, was read before (validated constraints, unique indexes).
-- functions.sql has run in the same transaction.
LOCK TABLE public.agent_runs, public.agent_steps, public.agent_contents, public.agent_messages, public.agent_token_counts
  IN ACCESS EXCLUSIVE MODE;
CREATE SCHEMA runtraced_first;
SET LOCAL search_path = '';

ALTER TABLE public.agent_runs ADD CONSTRAINT agent_runs_bucket_key UNIQUE USING INDEX agent_runs_bucket_key;
ALTER TABLE public.agent_runs ALTER COLUMN bucket SET DEFAULT public.agent_bucket();
COMMENT ON COLUMN public.agent_runs.bucket IS 'The month of the run and of all rows below it (agent_months); set once, when the database first sees the run.';

DO $swap$
DECLARE
  tables CONSTANT text[] := ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents'];
  views CONSTANT jsonb := (
    SELECT jsonb_agg(DISTINCT jsonb_build_object(
             'name', v.oid::regclass, 'options', coalesce(array_to_string(v.reloptions, ', '), ''),
             'text', pg_get_viewdef(v.oid)))
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class AND v.relkind = 'v'
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.refobjid IN (SELECT ('public.' || t)::regclass FROM unnest(tables) AS t));
  one text;
  old regclass;
  definition text;
  piece record;
BEGIN
  FOREACH one IN ARRAY tables LOOP
    -- The key and the reference with the bucket take the place of those without.
    EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I, DROP CONSTRAINT %I', one, one || '_pkey', one || '_run_id_fkey');
    EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', one, one || '_pkey', one || '_bucket_key');
    EXECUTE format('ALTER TABLE public.%I RENAME CONSTRAINT runtraced_run_bucket TO %I', one, one || '_run_id_fkey');
    old := ('public.' || one)::regclass;
    EXECUTE format('ALTER TABLE public.%I SET SCHEMA runtraced_first', one);

    EXECUTE format(
      'CREATE TABLE public.%1$I (LIKE runtraced_first.%1$I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED '
      'INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) PARTITION BY LIST (bucket)', one);
    EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT runtraced_first_bucket', one);
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN bucket SET DEFAULT public.agent_bucket()', one);
    EXECUTE format('COMMENT ON COLUMN public.%I.bucket IS %L', one, 'The month of the run (agent_months); names the partition of the row.');
    EXECUTE format('COMMENT ON TABLE public.%I IS %L', one, obj_description(old, 'pg_class'));
    EXECUTE format('ALTER TABLE public.%I OWNER TO %I', one, (SELECT pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class AS c WHERE c.oid = old));

    -- Keys, references, indexes, triggers, policies and rights as the table had them. An index of the table that equals one of
    -- these becomes its first partition, so none is built.
    FOR piece IN
      SELECT k.conname AS name, pg_get_constraintdef(k.oid) AS text FROM pg_catalog.pg_constraint AS k
      WHERE k.conrelid = old AND k.contype IN ('p', 'u', 'f') ORDER BY k.contype DESC, k.conname
    LOOP
      EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I %s', one, piece.name, piece.text);
    END LOOP;
    FOR piece IN
      SELECT pg_get_indexdef(i.indexrelid) AS text FROM pg_catalog.pg_index AS i
      WHERE i.indrelid = old AND i.indisvalid
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.conrelid = old)
      ORDER BY i.indexrelid
    LOOP
      EXECUTE replace(piece.text, 'runtraced_first.', 'public.');
    END LOOP;
    FOR piece IN
      SELECT g.tgname AS name, pg_get_triggerdef(g.oid) AS text, g.tgtype & 1 = 1 AS by_row, g.tgenabled AS fires FROM pg_catalog.pg_trigger AS g
      WHERE g.tgrelid = old AND NOT g.tgisinternal ORDER BY g.tgname
    LOOP
      -- The first partition gets those for each row from the table again.
      IF piece.by_row THEN
        EXECUTE format('DROP TRIGGER %I ON runtraced_first.%I', piece.name, one);
      END IF;
      EXECUTE replace(piece.text, 'runtraced_first.', 'public.');
      IF piece.fires <> 'O' THEN
        EXECUTE format('ALTER TABLE public.%I %s TRIGGER %I', one,
          CASE piece.fires WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, piece.name);
      END IF;
    END LOOP;
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', one);
    IF (SELECT c.relforcerowsecurity FROM pg_catalog.pg_class AS c WHERE c.oid = old) THEN
      EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', one);
    END IF;
    FOR piece IN
      SELECT p.polname AS name, p.polpermissive AS permissive, p.polcmd,
             (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) AS r) AS roles,
             pg_get_expr(p.polqual, p.polrelid) AS seen, pg_get_expr(p.polwithcheck, p.polrelid) AS written
      FROM pg_catalog.pg_policy AS p WHERE p.polrelid = old ORDER BY p.polname
    LOOP
      definition := format('CREATE POLICY %I ON public.%I AS %s FOR %s TO %s', piece.name, one,
        CASE WHEN piece.permissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE piece.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        piece.roles);
      definition := definition || coalesce(' USING (' || piece.seen || ')', '') || coalesce(' WITH CHECK (' || piece.written || ')', '');
      EXECUTE replace(definition, 'runtraced_first.', 'public.');
    END LOOP;
    -- Default privileges may have given rights that the table did not have.
    PERFORM public.keep_to_owner(('public.' || one)::regclass);
    FOR piece IN
      SELECT a.privilege_type AS what, NULL::text AS col, a.grantee, a.is_grantable
      FROM pg_catalog.pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a WHERE c.oid = old
      UNION ALL
      SELECT a.privilege_type, t.attname, a.grantee, a.is_grantable
      FROM pg_catalog.pg_attribute AS t, aclexplode(t.attacl) AS a WHERE t.attrelid = old AND NOT t.attisdropped
    LOOP
      EXECUTE format('GRANT %s%s ON public.%I TO %s%s', piece.what, ' (' || quote_ident(piece.col) || ')', one,
        CASE WHEN piece.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(piece.grantee)) END,
        CASE WHEN piece.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    FOR piece IN
      SELECT u.pubname AS name FROM pg_catalog.pg_publication_rel AS l
      JOIN pg_catalog.pg_publication AS u ON u.oid = l.prpubid WHERE l.prrelid = old
    LOOP
      EXECUTE format('ALTER PUBLICATION %I DROP TABLE runtraced_first.%I', piece.name, one);
      EXECUTE format('ALTER PUBLICATION %I ADD TABLE public.%I', piece.name, one);
    END LOOP;

    EXECUTE format('ALTER TABLE public.%1$I ATTACH PARTITION runtraced_first.%1$I FOR VALUES IN (0)', one);
    EXECUTE format('ALTER TABLE runtraced_first.%I DROP CONSTRAINT runtraced_first_bucket', one);
    PERFORM public.follow_triggers('runtraced_first', one);
    PERFORM public.share_month('runtraced_first', one);
  END LOOP;

  -- The same views, on the tables that have their names now.
  FOR piece IN
    SELECT v ->> 'name' AS name, v ->> 'options' AS options, replace(v ->> 'text', 'runtraced_first.', 'public.') AS text
    FROM jsonb_array_elements(coalesce(views, '[]')) AS v
  LOOP
    EXECUTE format('CREATE OR REPLACE VIEW %s%s AS %s', piece.name,
      CASE WHEN piece.options = '' THEN '' ELSE ' WITH (' || piece.options || ')' END, piece.text);
  END LOOP;
END
$swap$;
