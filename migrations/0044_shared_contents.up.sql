-- Contents that the runs of a session share.
--
-- A chat repeats its history with every turn. Where each turn is a run of its own, the contents of one run (migration 43) are of no
-- use to the next. So the contents of runs with a session are stored once for all runs of the session that belong to the same
-- customer, month by month: in a *scope*. A run keeps the scope in which it stored first. Runs without a session go on as before.
--
-- Nobody but daemons reads shared contents directly: a scope may hold values of runs that a reader does not see. content_value()
-- reads them for whoever sees the run and has the reference.
--
-- Earlier daemons store contents for each run, which stays right: the write epoch stays.
--
-- Rollback: 0044_shared_contents.down.sql

CREATE TABLE agent_content_scopes (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id UUID NOT NULL,
  owner_id UUID NOT NULL,
  month DATE NOT NULL,
  CONSTRAINT agent_content_scopes_key UNIQUE (session_id, owner_id, month)
);

COMMENT ON TABLE agent_content_scopes IS
  'What shares contents: the runs of a session that belong to one customer, month by month. Whoever changes contents of a scope locks its row';
COMMENT ON COLUMN agent_content_scopes.id IS 'A random number, so that only those who see a run of the scope know it';
COMMENT ON COLUMN agent_content_scopes.session_id IS 'The session of the runs when they first stored contents';
COMMENT ON COLUMN agent_content_scopes.owner_id IS
  'The customer whose runs these are: the tenant of the key that sent them, or else the customer that they name; all zero: none';
COMMENT ON COLUMN agent_content_scopes.month IS 'First day of the month (UTC) in which the runs first stored contents';

CREATE TABLE agent_run_scopes (
  run_id UUID PRIMARY KEY REFERENCES agent_runs(id) ON DELETE CASCADE,
  scope_id UUID NOT NULL REFERENCES agent_content_scopes(id)
);

COMMENT ON TABLE agent_run_scopes IS 'The scope in which a run stores its contents. A run without a row stores them in agent_contents';
COMMENT ON COLUMN agent_run_scopes.run_id IS 'The run';
COMMENT ON COLUMN agent_run_scopes.scope_id IS 'The scope. It stays, whatever becomes of the run''s session and customer';

CREATE INDEX idx_run_scopes_scope ON agent_run_scopes (scope_id);

CREATE TABLE agent_shared_contents (
  scope_id UUID NOT NULL REFERENCES agent_content_scopes(id),
  hash UUID NOT NULL,
  kind SMALLINT NOT NULL,
  prev UUID,
  part UUID,
  name TEXT,
  body JSONB,
  PRIMARY KEY (scope_id, hash),
  CONSTRAINT agent_shared_contents_kind_check CHECK (kind BETWEEN 0 AND 2),
  CONSTRAINT agent_shared_contents_part_check CHECK (num_nonnulls(part, body) = 1),
  CONSTRAINT agent_shared_contents_name_check CHECK ((name IS NOT NULL) = (kind = 2 AND part IS NOT NULL)),
  CONSTRAINT agent_shared_contents_leaf_check CHECK (kind <> 0 OR num_nonnulls(prev, part) = 0),
  CONSTRAINT agent_shared_contents_body_check CHECK (kind = 0 OR body IS NULL OR jsonb_typeof(body) = (ARRAY['array', 'object'])[kind])
);

COMMENT ON TABLE agent_shared_contents IS
  'Pieces of large inputs and outputs of steps, each once per scope. Like agent_contents otherwise; read through content_value()';
COMMENT ON COLUMN agent_shared_contents.scope_id IS 'The scope whose runs have the value';
COMMENT ON COLUMN agent_shared_contents.hash IS 'Hash of what the row says: the first 16 bytes of a BLAKE3';
COMMENT ON COLUMN agent_shared_contents.kind IS
  '0: a value as it is. 1: a list, the elements of prev and those that this row adds. 2: an object, the members of prev and those that this row adds';
COMMENT ON COLUMN agent_shared_contents.prev IS 'Of a list or an object: the row that this one continues; NULL: it is the first';
COMMENT ON COLUMN agent_shared_contents.part IS 'The row whose value is the one element or member that this row adds; NULL: it adds what is in body';
COMMENT ON COLUMN agent_shared_contents.name IS 'Of an object with a part: the name of the member';
COMMENT ON COLUMN agent_shared_contents.body IS 'The value; of a list an array of elements to add; of an object an object of members to add';

-- As for agent_contents: compression, and an index for searching texts where the others are.
DO $migration$
BEGIN
  ALTER TABLE agent_shared_contents ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  NULL;
END
$migration$;

DO $migration$
BEGIN
  IF to_regclass('public.runtraced_search_steps') IS NOT NULL THEN
    CREATE INDEX runtraced_search_shared ON agent_shared_contents USING gin (name gin_trgm_ops, (body::text) gin_trgm_ops);
  END IF;
EXCEPTION WHEN undefined_object THEN
  NULL; -- The extension is in a schema that this role does not search; the command builds the index.
END
$migration$;

-- Deleting a run, by whatever means, says that its scope may hold what nothing needs. Rows are only added, so nobody waits for a
-- scope, and a sweep removes no row that it did not see.
CREATE TABLE agent_stale_scopes (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  scope_id UUID NOT NULL
);

COMMENT ON TABLE agent_stale_scopes IS
  'Scopes that lost a run, so that there may be contents that nothing needs; retention, prune and erase look at them';
COMMENT ON COLUMN agent_stale_scopes.id IS 'Id of the row';
COMMENT ON COLUMN agent_stale_scopes.scope_id IS 'The scope, as often as it lost a run since it was last looked at';

CREATE INDEX idx_stale_scopes_scope ON agent_stale_scopes (scope_id);

CREATE FUNCTION public.note_stale_scopes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO public.agent_stale_scopes (scope_id) SELECT s.id FROM public.agent_content_scopes AS s;
  ELSE
    INSERT INTO public.agent_stale_scopes (scope_id) SELECT DISTINCT g.scope_id FROM gone AS g;
  END IF;
  RETURN NULL;
END
$function$;
COMMENT ON FUNCTION public.note_stale_scopes() IS 'Notes the scopes of deleted runs; used by triggers';

CREATE TRIGGER agent_run_scopes_gone AFTER DELETE ON agent_run_scopes REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION note_stale_scopes();
CREATE TRIGGER agent_run_scopes_emptied AFTER TRUNCATE ON agent_run_scopes
FOR EACH STATEMENT EXECUTE FUNCTION note_stale_scopes();

ALTER TABLE agent_content_scopes ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_run_scopes ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_shared_contents ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_stale_scopes ENABLE ROW LEVEL SECURITY;

DO $migration$
DECLARE
  tables CONSTANT text[] := ARRAY['agent_content_scopes', 'agent_run_scopes', 'agent_shared_contents', 'agent_stale_scopes'];
  one record;
  new_table text;
  copied boolean;
BEGIN
  -- New tables have default privileges: Supabase gives anon and authenticated all rights, a product may give others some.
  FOR one IN
    SELECT DISTINCT c.relname, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS whom
    FROM pg_class AS c
    CROSS JOIN aclexplode(c.relacl) AS a
    LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (tables) AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON %I FROM %s', one.relname, one.whom);
  END LOOP;
  -- Whoever may read contents may read which scope a run has. Daemons have the same rights as on contents, and see all rows.
  FOR one IN
    SELECT
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS whom,
      string_agg(a.privilege_type, ', ') FILTER (WHERE a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')) AS rights,
      bool_or(a.privilege_type = 'SELECT') AS reads,
      (SELECT p.policyname FROM pg_policies AS p
       WHERE p.schemaname = 'public' AND p.tablename = 'agent_contents'
         AND p.policyname = ('runtraced writes as ' || r.rolname)::name) AS policy
    FROM pg_class AS c
    CROSS JOIN aclexplode(c.relacl) AS a
    LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE c.oid = 'agent_contents'::regclass AND a.grantee <> c.relowner
    GROUP BY a.grantee, r.rolname
  LOOP
    IF one.policy IS NOT NULL THEN
      FOREACH new_table IN ARRAY tables LOOP
        EXECUTE format('GRANT %s ON %I TO %s', one.rights, new_table, one.whom);
        EXECUTE format('CREATE POLICY %I ON %I FOR ALL TO %s USING (true) WITH CHECK (true)', one.policy, new_table, one.whom);
      END LOOP;
    ELSIF one.reads THEN
      EXECUTE format('GRANT SELECT ON agent_run_scopes TO %s', one.whom);
    END IF;
  END LOOP;
  -- Whoever sees contents of a run sees its scope: the policies of contents, also those that others made, hold for scopes. One that
  -- is about more than the run cannot: then a permissive one is left out, and in place of a restrictive one nothing is shown, except
  -- to daemons.
  FOR one IN
    SELECT
      p.policyname,
      p.permissive,
      p.cmd,
      regexp_replace(p.qual, '\magent_contents\.run_id\M', 'agent_run_scopes.run_id', 'g') AS qual,
      array_to_string(ARRAY(
        SELECT CASE WHEN r = 'public' THEN 'PUBLIC' ELSE quote_ident(r) END FROM unnest(p.roles) AS r), ', ') AS whom
    FROM pg_policies AS p
    WHERE p.schemaname = 'public' AND p.tablename = 'agent_contents' AND p.cmd IN ('ALL', 'SELECT')
      AND p.policyname <> ALL (ARRAY(SELECT ('runtraced writes as ' || r)::name FROM unnest(p.roles) AS r))
  LOOP
    copied := true;
    BEGIN
      EXECUTE format('CREATE POLICY %I ON agent_run_scopes AS %s FOR SELECT TO %s', one.policyname, one.permissive, one.whom)
        || coalesce(' USING (' || one.qual || ')', '');
    EXCEPTION WHEN syntax_error_or_access_rule_violation THEN
      copied := false;
    END;
    IF NOT copied THEN
      RAISE WARNING 'the policy "%" of agent_contents cannot hold for agent_run_scopes: make one by hand', one.policyname;
      IF one.permissive = 'RESTRICTIVE' THEN
        EXECUTE format(
          'CREATE POLICY %I ON agent_run_scopes AS RESTRICTIVE FOR SELECT TO %s USING ((SELECT EXISTS ('
          'SELECT FROM pg_catalog.pg_policies AS p WHERE p.schemaname = ''public'' AND p.tablename = ''agent_contents'' '
          'AND p.policyname = (''runtraced writes as '' || current_user)::name)))', one.policyname, one.whom);
      END IF;
    END IF;
  END LOOP;
END
$migration$;

-- Reading.

-- content_of() for a scope.
CREATE FUNCTION public.shared_content_of(scope_id uuid, hash uuid, above uuid[]) RETURNS jsonb
LANGUAGE plpgsql STABLE COST 1000 SET search_path = '' SET enable_seqscan = off
AS $function$
#variable_conflict use_column
DECLARE
  head record;
  made jsonb;
BEGIN
  SELECT c.kind, c.prev, c.part, c.name, c.body INTO head
  FROM public.agent_shared_contents AS c
  WHERE c.scope_id = $1 AND c.hash = $2;
  IF NOT FOUND OR $2 = ANY ($3) OR cardinality($3) > 32 THEN
    RETURN NULL;
  END IF;
  IF head.prev IS NULL AND head.part IS NULL THEN
    RETURN head.body;
  END IF;
  WITH RECURSIVE chain AS (
    SELECT $2 AS hash, head.prev, head.part, head.name, head.body, 1 AS place, $2 AS mark
    UNION ALL
    SELECT c.hash, c.prev, c.part, c.name, c.body, n.place + 1, CASE WHEN n.place & (n.place - 1) = 0 THEN n.hash ELSE n.mark END
    FROM chain AS n
    CROSS JOIN LATERAL (
      SELECT c.hash, c.prev, c.part, c.name, c.body
      FROM public.agent_shared_contents AS c
      WHERE c.scope_id = $1 AND c.hash = n.prev AND c.kind = head.kind
      OFFSET 0
    ) AS c
    WHERE n.prev <> n.mark
  ), parts AS NOT MATERIALIZED (
    SELECT n.place, n.name, CASE WHEN c.kind = 0 THEN c.body ELSE public.shared_content_of($1, n.part, $3 || $2) END AS value
    FROM chain AS n
    LEFT JOIN LATERAL (
      SELECT c.kind, c.body
      FROM public.agent_shared_contents AS c
      WHERE c.scope_id = $1 AND c.hash = n.part
      OFFSET 0
    ) AS c ON true
    WHERE n.part IS NOT NULL
  ), texts AS (
    SELECT p.place, CASE WHEN p.name IS NULL THEN '' ELSE to_jsonb(p.name)::text || ': ' END || p.value::text AS text
    FROM parts AS p
    UNION ALL
    SELECT n.place, substr(b.text, 2, length(b.text) - 2)
    FROM chain AS n
    CROSS JOIN LATERAL (SELECT n.body::text AS text OFFSET 0) AS b
    WHERE n.part IS NULL AND b.text NOT IN ('[]', '{}')
  )
  SELECT CASE
    WHEN NOT (SELECT bool_or(n.prev IS NULL) FROM chain AS n) OR bool_or(t.text IS NULL) THEN NULL
    WHEN head.kind = 1 THEN '[' || coalesce(string_agg(t.text, ', ' ORDER BY t.place DESC), '') || ']'
    ELSE '{' || coalesce(string_agg(t.text, ', ' ORDER BY t.place DESC), '') || '}'
  END::jsonb
  INTO made
  FROM texts AS t;
  RETURN made;
END
$function$;
COMMENT ON FUNCTION public.shared_content_of(uuid, uuid, uuid[]) IS
  'The value of a row of agent_shared_contents, for shared_content; NULL: it is not all there';

CREATE FUNCTION public.shared_content(scope_id uuid, hash uuid) RETURNS jsonb
LANGUAGE sql STABLE COST 1000 SECURITY DEFINER SET search_path = ''
AS $function$ SELECT public.shared_content_of($1, $2, '{}') $function$;
COMMENT ON FUNCTION public.shared_content(uuid, uuid) IS
  'The value of a row of agent_shared_contents, for whoever knows the scope, which takes the right to see contents of a run in it, and the hash, which takes seeing a step';

CREATE OR REPLACE FUNCTION public.content_value(run_id uuid, value jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE COST 1000 SET search_path = ''
AS $function$
#variable_conflict use_column
DECLARE
  hash text;
  shared_in uuid;
  made jsonb;
BEGIN
  -- A larger value is no reference. Its size is known without reading it.
  IF pg_column_size($2) < 128 THEN
    hash := $2 ->> '$content';
    IF hash ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND $2 = jsonb_build_object('$content', hash)
      AND has_table_privilege('public.agent_contents', 'SELECT')
    THEN
      PERFORM set_config('runtraced.run', $1::text, true);
      IF has_table_privilege('public.agent_run_scopes', 'SELECT') THEN
        SELECT s.scope_id INTO shared_in FROM public.agent_run_scopes AS s WHERE s.run_id = $1;
        IF shared_in IS NOT NULL THEN
          made := public.shared_content(shared_in, hash::uuid);
        END IF;
      END IF;
      -- A run may have stored contents before it had a session.
      IF made IS NULL THEN
        made := public.content_of($1, hash::uuid, '{}');
      END IF;
      RETURN coalesce(made, $2);
    END IF;
  END IF;
  RETURN $2;
END
$function$;

-- What needs what.

CREATE FUNCTION public.content_references(run_id uuid, hidden boolean) RETURNS SETOF uuid
LANGUAGE sql STABLE ROWS 100 SET search_path = ''
AS $function$
  SELECT (v.text::jsonb ->> '$content')::uuid
  FROM public.agent_steps AS s
  CROSS JOIN LATERAL (
    SELECT CASE WHEN pg_column_size(s.input) < 128 THEN s.input::text END
    UNION ALL
    SELECT CASE WHEN pg_column_size(s.output) < 128 THEN s.output::text END
    UNION ALL
    -- The lesser views of a step hold theirs as texts (merge_steps.sql): the details at 7, the end at 3.
    SELECT o.text FROM (VALUES (s.other_view #>> '{0,7}'), (s.other_view #>> '{1,3}')) AS o (text) WHERE $2
  ) AS v (text)
  WHERE s.run_id = $1 AND v.text ~ '^\{"\$content": ?"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"\}$'
$function$;
COMMENT ON FUNCTION public.content_references(uuid, boolean) IS
  'The hashes that the steps of a run refer to; if the second argument is true, also those of values that do not show at present';

CREATE FUNCTION public.shared_pieces(scope_id uuid, hashes uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = '' SET enable_seqscan = off
AS $function$
  WITH RECURSIVE piece AS (
    SELECT h.hash FROM unnest($2) AS h (hash)
    UNION
    SELECT named.hash
    FROM piece AS p
    CROSS JOIN LATERAL (
      SELECT c.prev, c.part FROM public.agent_shared_contents AS c WHERE c.scope_id = $1 AND c.hash = p.hash OFFSET 0
    ) AS c
    CROSS JOIN LATERAL (VALUES (c.prev), (c.part)) AS named (hash)
    WHERE named.hash IS NOT NULL
  )
  SELECT p.hash FROM piece AS p
$function$;
COMMENT ON FUNCTION public.shared_pieces(uuid, uuid[]) IS
  'These hashes, and those of everything that the values of these rows of agent_shared_contents consist of';

CREATE FUNCTION public.unneeded_contents(scope_id uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = '' SET enable_seqscan = off
AS $function$
  WITH needed AS MATERIALIZED (
    SELECT p.hash
    FROM public.shared_pieces($1, ARRAY(
      SELECT DISTINCT r.hash
      FROM public.agent_run_scopes AS s
      CROSS JOIN LATERAL public.content_references(s.run_id, true) AS r (hash)
      WHERE s.scope_id = $1
    )) AS p (hash)
  )
  SELECT c.hash
  FROM public.agent_shared_contents AS c
  WHERE c.scope_id = $1 AND c.hash NOT IN (SELECT n.hash FROM needed AS n)
$function$;
COMMENT ON FUNCTION public.unneeded_contents(uuid) IS
  'The hashes of the contents of a scope that no step of its runs needs; used by retention and prune';

-- Searching.

-- It matches nothing but pieces of these values: patterns with mistakes and the time that it takes would tell of others.
CREATE FUNCTION public.shared_text(scope_id uuid, hashes uuid[], pattern text) RETURNS boolean
LANGUAGE sql STABLE COST 1000 SECURITY DEFINER SET search_path = '' SET enable_seqscan = off
AS $function$
  SELECT EXISTS (
    SELECT
    FROM public.shared_pieces($1, $2) AS p (hash)
    CROSS JOIN LATERAL (
      SELECT c.name, c.body FROM public.agent_shared_contents AS c WHERE c.scope_id = $1 AND c.hash = p.hash OFFSET 0
    ) AS c
    WHERE c.name ILIKE $3 OR c.body::text ILIKE $3
  )
$function$;
COMMENT ON FUNCTION public.shared_text(uuid, uuid[], text) IS
  'Whether a text like the pattern is in the values of these rows of agent_shared_contents; for run_shares_text';

CREATE FUNCTION public.run_shares_text(run_id uuid, pattern text) RETURNS boolean
LANGUAGE sql STABLE COST 1000 SET search_path = ''
AS $function$
  SELECT EXISTS (
    SELECT
    FROM public.agent_run_scopes AS s
    WHERE s.run_id = $1
      AND public.shared_text(s.scope_id, ARRAY(SELECT public.content_references($1, false)), $2)
  )
$function$;
COMMENT ON FUNCTION public.run_shares_text(uuid, text) IS
  'Whether a text like the pattern is in shared contents of an input or output of this run';

CREATE FUNCTION public.runs_sharing_text(pattern text) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE COST 100000 ROWS 100 SET search_path = '' SET enable_hashjoin = on
AS $function$
BEGIN
  -- Only a daemon's role reads shared contents directly, and an index may serve it.
  IF has_table_privilege('public.agent_shared_contents', 'SELECT') THEN
    RETURN QUERY
      WITH RECURSIVE hit AS MATERIALIZED (
        SELECT c.scope_id, c.hash FROM public.agent_shared_contents AS c WHERE c.name ILIKE $1 OR c.body::text ILIKE $1
      ), scope AS MATERIALIZED (
        SELECT DISTINCT h.scope_id FROM hit AS h
      ), named AS MATERIALIZED (
        -- As arrays, which the planner takes for small: it reads them once, into a hash table.
        SELECT array_agg(c.scope_id) AS scopes, array_agg(c.hash) AS hashes, array_agg(n.hash) AS parts
        FROM public.agent_shared_contents AS c
        CROSS JOIN LATERAL (VALUES (c.prev), (c.part)) AS n (hash)
        WHERE c.scope_id IN (SELECT s.scope_id FROM scope AS s) AND n.hash IS NOT NULL
      ), holder AS (
        SELECT h.scope_id, h.hash FROM hit AS h
        UNION
        SELECT n.scope_id, n.hash
        FROM holder AS h
        JOIN unnest((SELECT a.scopes FROM named AS a), (SELECT a.hashes FROM named AS a), (SELECT a.parts FROM named AS a))
          AS n (scope_id, hash, part) ON n.scope_id = h.scope_id AND n.part = h.hash
      )
      SELECT DISTINCT l.run_id
      FROM scope AS s
      JOIN public.agent_run_scopes AS l ON l.scope_id = s.scope_id
      CROSS JOIN LATERAL public.content_references(l.run_id, false) AS r (hash)
      JOIN holder AS h ON h.scope_id = l.scope_id AND h.hash = r.hash;
  END IF;
END
$function$;
COMMENT ON FUNCTION public.runs_sharing_text(text) IS
  'For a daemon: the runs with a text like the pattern in shared contents of their inputs and outputs. For others: nothing';
