-- Large values of steps, stored once per run.
--
-- An agent repeats its history with every call. With --content-once, agent_steps.input and .output hold a reference in place of
-- a large value, {"$content": "<hash>"}, and agent_contents holds its pieces: what several values of a run share is there once.
-- content_value() puts a value together again, and the views show it as it was sent.
--
-- Daemons of earlier versions take a reference for a value like any other, which is right: the write epoch stays.
--
-- Rollback: 0043_contents.down.sql

CREATE TABLE agent_contents (
  run_id UUID NOT NULL,
  hash UUID NOT NULL,
  kind SMALLINT NOT NULL,
  prev UUID,
  part UUID,
  name TEXT,
  body JSONB,
  PRIMARY KEY (run_id, hash),
  CONSTRAINT agent_contents_kind_check CHECK (kind BETWEEN 0 AND 2),
  CONSTRAINT agent_contents_part_check CHECK (num_nonnulls(part, body) = 1),
  CONSTRAINT agent_contents_name_check CHECK ((name IS NOT NULL) = (kind = 2 AND part IS NOT NULL)),
  CONSTRAINT agent_contents_leaf_check CHECK (kind <> 0 OR num_nonnulls(prev, part) = 0),
  CONSTRAINT agent_contents_body_check CHECK (kind = 0 OR body IS NULL OR jsonb_typeof(body) = (ARRAY['array', 'object'])[kind])
);

COMMENT ON TABLE agent_contents IS
  'Pieces of large inputs and outputs of steps, each once per run. Written by the daemon with --content-once; read through content_value()';
COMMENT ON COLUMN agent_contents.run_id IS 'The run whose steps have the value';
COMMENT ON COLUMN agent_contents.hash IS 'Hash of what the row says: the first 16 bytes of a BLAKE3';
COMMENT ON COLUMN agent_contents.kind IS
  '0: a value as it is. 1: a list, the elements of prev and those that this row adds. 2: an object, the members of prev and those that this row adds';
COMMENT ON COLUMN agent_contents.prev IS 'Of a list or an object: the row that this one continues; NULL: it is the first';
COMMENT ON COLUMN agent_contents.part IS 'The row whose value is the one element or member that this row adds; NULL: it adds what is in body';
COMMENT ON COLUMN agent_contents.name IS 'Of an object with a part: the name of the member';
COMMENT ON COLUMN agent_contents.body IS 'The value; of a list an array of elements to add; of an object an object of members to add';

-- It reads about as fast and compresses faster. A server may be built without it.
DO $migration$
BEGIN
  ALTER TABLE agent_contents ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  NULL;
END
$migration$;

-- Where `migrate --search-index` has built its indexes, texts in contents are searched by one too.
DO $migration$
BEGIN
  IF to_regclass('public.runtraced_search_steps') IS NOT NULL THEN
    CREATE INDEX runtraced_search_contents ON agent_contents USING gin (name gin_trgm_ops, (body::text) gin_trgm_ops);
  END IF;
EXCEPTION WHEN undefined_object THEN
  NULL; -- The extension is in a schema that this role does not search; the command builds the index.
END
$migration$;

-- Who sees a step sees its contents, and nobody else does.

-- A value may be a thousand rows. The functions of policies take about a tenth of a millisecond for each row, so whoever puts a
-- value together names the run first, and a policy looks at that run once. It is only a matter of time: anybody may name a run.
CREATE FUNCTION public.named_run() RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = ''
AS $function$
DECLARE
  named text := current_setting('runtraced.run', true);
BEGIN
  IF named ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    RETURN named::uuid;
  END IF;
  RETURN NULL;
END
$function$;
COMMENT ON FUNCTION public.named_run() IS 'The run that content_value has named';

CREATE FUNCTION public.named_run_owned() RETURNS uuid
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT n.id FROM public.named_run() AS n (id) WHERE public.owns_run(n.id) $function$;
COMMENT ON FUNCTION public.named_run_owned() IS
  'The run that content_value has named, if the current request may see it as its owner';

CREATE FUNCTION public.named_run_read() RETURNS uuid
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT n.id FROM public.named_run() AS n (id) WHERE public.reads_run(n.id) $function$;
COMMENT ON FUNCTION public.named_run_read() IS
  'The run that content_value has named, if the current request may see it as a reader of its customer';

ALTER TABLE agent_contents ENABLE ROW LEVEL SECURITY;

-- As on agent_steps; the look at the named run comes below.
CREATE POLICY "Users see contents of own runs" ON agent_contents FOR SELECT USING (public.owns_run(run_id));
CREATE POLICY "Readers see runs of their customer" ON agent_contents FOR SELECT
  USING ((SELECT public.reader_customer()) IS NOT NULL AND public.reads_run(run_id));
CREATE POLICY "Admins see everything" ON agent_contents FOR SELECT
  USING ((SELECT public.is_admin(auth.uid())));

DO $migration$
DECLARE
  one record;
  kept name[];
  copied boolean;
BEGIN
  -- A new table has the default privileges: Supabase gives anon and authenticated all rights, a product may give others some.
  FOR one IN
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS whom
    FROM pg_class AS c
    CROSS JOIN aclexplode(c.relacl) AS a
    LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE c.oid = 'agent_contents'::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON agent_contents FROM %s', one.whom);
  END LOOP;
  -- Whoever may read the inputs and outputs of steps may read contents: users, readers, tools. Somebody may have left these columns
  -- out of what users see. A daemon writes, and may delete, as it does on steps. The policies show anon nothing, so it gets no right.
  FOR one IN
    SELECT
      CASE WHEN m.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS whom,
      string_agg(m.privilege, ', ') AS rights
    FROM (
      SELECT a.grantee, a.privilege_type AS privilege
      FROM pg_class AS c
      CROSS JOIN aclexplode(c.relacl) AS a
      WHERE c.oid = 'agent_steps'::regclass AND a.grantee <> c.relowner
      UNION
      SELECT a.grantee, a.privilege_type
      FROM pg_attribute AS c
      CROSS JOIN aclexplode(c.attacl) AS a
      WHERE c.attrelid = 'agent_steps'::regclass AND c.attname IN ('input', 'output') AND a.privilege_type = 'SELECT'
      GROUP BY a.grantee, a.privilege_type
      HAVING count(DISTINCT c.attname) = 2
    ) AS m
    LEFT JOIN pg_roles AS r ON r.oid = m.grantee
    WHERE r.rolname IS DISTINCT FROM 'anon' AND (
      m.privilege = 'SELECT' OR m.privilege IN ('INSERT', 'UPDATE', 'DELETE') AND EXISTS (
        SELECT FROM pg_policies AS p
        WHERE p.schemaname = 'public' AND p.tablename = 'agent_steps' AND p.policyname = ('runtraced writes as ' || r.rolname)::name))
    GROUP BY 1
  LOOP
    EXECUTE format('GRANT %s ON agent_contents TO %s', one.rights, one.whom);
  END LOOP;
  -- A policy that somebody has changed or dropped on steps is not made anew for contents.
  FOR one IN
    SELECT p.policyname
    FROM pg_policies AS p
    WHERE p.schemaname = 'public' AND p.tablename = 'agent_contents' AND NOT EXISTS (
      SELECT FROM pg_policies AS s
      WHERE s.schemaname = 'public' AND s.tablename = 'agent_steps' AND s.policyname = replace(p.policyname, 'contents', 'steps')
        AND (s.permissive, s.roles, s.cmd, s.qual, s.with_check) IS NOT DISTINCT FROM (p.permissive, p.roles, p.cmd, p.qual, p.with_check))
  LOOP
    EXECUTE format('DROP POLICY %I ON agent_contents', one.policyname);
  END LOOP;
  kept := ARRAY(SELECT p.policyname FROM pg_policies AS p WHERE p.schemaname = 'public' AND p.tablename = 'agent_contents');
  -- Policies that others made or changed for steps hold for contents too, if they are about no other column of steps than run_id:
  -- kind and name mean something else here. Otherwise a permissive one is left out, and in place of a restrictive one nothing is
  -- shown, except to daemons: a reader then gets references.
  FOR one IN
    SELECT
      p.policyname,
      p.permissive,
      p.cmd,
      -- In a query of its own, a policy names the column with its table.
      regexp_replace(p.qual, '\magent_steps\.run_id\M', 'agent_contents.run_id', 'g') AS qual,
      regexp_replace(p.with_check, '\magent_steps\.run_id\M', 'agent_contents.run_id', 'g') AS with_check,
      array_to_string(ARRAY(
        SELECT CASE WHEN r = 'public' THEN 'PUBLIC' ELSE quote_ident(r) END FROM unnest(p.roles) AS r), ', ') AS whom,
      ARRAY(
        SELECT a.attname
        FROM pg_policy AS o
        JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = o.oid
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE o.polrelid = 'agent_steps'::regclass AND o.polname = p.policyname
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = o.polrelid AND d.refobjsubid <> 0
      ) <@ ARRAY['run_id'::name] AS is_about_runs
    FROM pg_policies AS p
    WHERE p.schemaname = 'public' AND p.tablename = 'agent_steps' AND NOT EXISTS (
      SELECT FROM pg_policies AS c
      WHERE c.schemaname = 'public' AND c.tablename = 'agent_contents' AND c.policyname = replace(p.policyname, 'steps', 'contents'))
  LOOP
    copied := one.is_about_runs;
    BEGIN
      IF copied THEN
        EXECUTE format('CREATE POLICY %I ON agent_contents AS %s FOR %s TO %s', one.policyname, one.permissive, one.cmd, one.whom)
          || coalesce(' USING (' || one.qual || ')', '') || coalesce(' WITH CHECK (' || one.with_check || ')', '');
      END IF;
    EXCEPTION WHEN syntax_error_or_access_rule_violation THEN
      copied := false; -- It is about the row as a whole, for example.
    END;
    IF NOT copied THEN
      RAISE WARNING 'the policy "%" of agent_steps cannot hold for agent_contents: make one by hand', one.policyname;
      IF one.permissive = 'RESTRICTIVE' AND one.cmd IN ('ALL', 'SELECT') THEN
        EXECUTE format(
          'CREATE POLICY %I ON agent_contents AS RESTRICTIVE FOR SELECT TO %s USING ((SELECT EXISTS ('
          'SELECT FROM pg_catalog.pg_policies AS p WHERE p.schemaname = ''public'' AND p.tablename = ''agent_contents'' '
          'AND p.policyname = (''runtraced writes as '' || current_user)::name)))', one.policyname, one.whom);
      END IF;
    END IF;
  END LOOP;
  IF 'Users see contents of own runs' = ANY (kept) THEN
    ALTER POLICY "Users see contents of own runs" ON agent_contents
      USING (run_id = (SELECT public.named_run_owned()) OR public.owns_run(run_id));
  END IF;
  IF 'Readers see runs of their customer' = ANY (kept) THEN
    ALTER POLICY "Readers see runs of their customer" ON agent_contents
      USING (
        (SELECT public.reader_customer()) IS NOT NULL
        AND (run_id = (SELECT public.named_run_read()) OR public.reads_run(run_id))
      );
  END IF;
END
$migration$;

-- The value of a row with all that is before it and in it; NULL: something of it is missing. `above` are the rows that it is
-- part of. The daemon writes no cycles, but nothing else keeps them out of the table.
CREATE FUNCTION public.content_of(run_id uuid, hash uuid, above uuid[]) RETURNS jsonb
LANGUAGE plpgsql STABLE COST 1000 SET search_path = '' SET enable_seqscan = off
AS $function$
#variable_conflict use_column
DECLARE
  head record;
  made jsonb;
BEGIN
  SELECT c.kind, c.prev, c.part, c.name, c.body INTO head
  FROM public.agent_contents AS c
  WHERE c.run_id = $1 AND c.hash = $2;
  IF NOT FOUND OR $2 = ANY ($3) OR cardinality($3) > 32 THEN
    RETURN NULL;
  END IF;
  IF head.prev IS NULL AND head.part IS NULL THEN
    RETURN head.body;
  END IF;
  -- `mark` is an earlier row, another one whenever twice as many have been passed: a cycle comes back to it (Brent's way).
  -- OFFSET 0 keeps the planner at one look-up by key for each row.
  WITH RECURSIVE chain AS (
    SELECT $2 AS hash, head.prev, head.part, head.name, head.body, 1 AS place, $2 AS mark
    UNION ALL
    SELECT c.hash, c.prev, c.part, c.name, c.body, n.place + 1, CASE WHEN n.place & (n.place - 1) = 0 THEN n.hash ELSE n.mark END
    FROM chain AS n
    CROSS JOIN LATERAL (
      SELECT c.hash, c.prev, c.part, c.name, c.body
      FROM public.agent_contents AS c
      WHERE c.run_id = $1 AND c.hash = n.prev AND c.kind = head.kind
      OFFSET 0
    ) AS c
    WHERE n.prev <> n.mark
  ), parts AS NOT MATERIALIZED (
    SELECT n.place, n.name, CASE WHEN c.kind = 0 THEN c.body ELSE public.content_of($1, n.part, $3 || $2) END AS value
    FROM chain AS n
    LEFT JOIN LATERAL (
      SELECT c.kind, c.body
      FROM public.agent_contents AS c
      WHERE c.run_id = $1 AND c.hash = n.part
      OFFSET 0
    ) AS c ON true
    WHERE n.part IS NOT NULL
  ), texts AS (
    -- What each row says, without the brackets. Texts are put together faster than values, of which there may be millions.
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
COMMENT ON FUNCTION public.content_of(uuid, uuid, uuid[]) IS
  'The value of a row of agent_contents, for content_value; NULL: it is not all there';

CREATE FUNCTION public.content_value(run_id uuid, value jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE COST 1000 SET search_path = ''
AS $function$
DECLARE
  hash text;
BEGIN
  -- A larger value is no reference. Its size is known without reading it.
  IF pg_column_size(value) < 128 THEN
    hash := value ->> '$content';
    IF hash ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND value = jsonb_build_object('$content', hash)
      AND has_table_privilege('public.agent_contents', 'SELECT')
    THEN
      PERFORM set_config('runtraced.run', run_id::text, true);
      RETURN coalesce(public.content_of(run_id, hash::uuid, '{}'), value);
    END IF;
  END IF;
  RETURN value;
END
$function$;
COMMENT ON FUNCTION public.content_value(uuid, jsonb) IS
  'An input or output of a step of this run as it was sent: what a reference to agent_contents stands for, any other value as it is';

CREATE OR REPLACE VIEW run_timeline WITH (security_invoker = true) AS
SELECT
  r.id AS run_id,
  placed.position,
  placed.item,
  placed.id,
  placed.step_id,
  placed.parent_step_id,
  placed.depth,
  placed.at,
  placed.ended_at,
  public.ms_between(coalesce(r.started_at, placed.earliest), placed.at) AS offset_ms,
  placed.duration_ms,
  placed.kind,
  placed.step_type,
  placed.name,
  placed.status,
  placed.model,
  placed.error,
  placed.tokens_input,
  placed.tokens_output,
  placed.tokens_cache_read,
  placed.tokens_cache_write,
  placed.tokens_reasoning,
  -- A reference is small. What nobody asks for is not looked up.
  CASE WHEN placed.item = 'step' AND pg_column_size(placed.input) < 128
    THEN public.content_value(r.id, placed.input) ELSE placed.input END AS input,
  CASE WHEN placed.item = 'step' AND pg_column_size(placed.output) < 128
    THEN public.content_value(r.id, placed.output) ELSE placed.output END AS output,
  placed.content,
  placed.thinking,
  placed.tool_calls,
  placed.metadata,
  placed.seq,
  placed.decided_by,
  array_remove(
    placed.flags
      || CASE WHEN placed.at < r.started_at THEN 'before_run' END
      || CASE WHEN placed.at > r.ended_at THEN 'after_run' END,
    NULL
  ) AS flags,
  placed.score_value,
  placed.score_label,
  placed.score_source
FROM agent_runs AS r
CROSS JOIN LATERAL (
  SELECT
    i.*,
    row_number() OVER (ORDER BY i.at, i.depth, i.item_rank, i.seq, i.id) AS position,
    min(i.at) OVER () AS earliest
  FROM (
    -- A FULL join, because it can only be done by hashing or merging; every
    -- step of the tree is among the items, so nothing is added by it.
    SELECT
      e.item,
      e.item_rank,
      e.id,
      e.step_id,
      e.parent_step_id,
      CASE WHEN e.item = 'step' THEN tree.depth ELSE coalesce(tree.depth + 1, 0) END AS depth,
      e.at,
      e.ended_at,
      e.duration_ms,
      e.kind,
      e.step_type,
      e.name,
      e.status,
      e.model,
      e.error,
      e.tokens_input,
      e.tokens_output,
      e.tokens_cache_read,
      e.tokens_cache_write,
      e.tokens_reasoning,
      e.input,
      e.output,
      e.content,
      e.thinking,
      e.tool_calls,
      e.metadata,
      e.seq,
      e.decided_by,
      e.flags || CASE
        WHEN e.item = 'step' THEN tree.flag
        WHEN e.step_id IS NOT NULL AND tree.step_id IS NULL THEN 'step_missing'
      END AS flags,
      e.score_value,
      e.score_label,
      e.score_source
    FROM (
      SELECT
        'step'::text AS item,
        1 AS item_rank,
        s.id,
        s.id AS step_id,
        s.parent_step_id,
        began.at,
        coalesce(
          s.ended_at,
          CASE WHEN s.status IS DISTINCT FROM 'running' THEN began.at + s.duration_ms * INTERVAL '1 millisecond' END
        ) AS ended_at,
        CASE
          WHEN s.duration_ms IS NOT NULL THEN s.duration_ms::bigint
          WHEN s.ended_at < s.started_at THEN 0
          ELSE public.ms_between(s.started_at, s.ended_at)
        END AS duration_ms,
        coalesce(s.kind, s.step_type) AS kind,
        s.step_type,
        s.name,
        s.status,
        s.model,
        s.error,
        NULL::bigint AS tokens_input,
        NULL::bigint AS tokens_output,
        NULL::bigint AS tokens_cache_read,
        NULL::bigint AS tokens_cache_write,
        NULL::bigint AS tokens_reasoning,
        s.input,
        s.output,
        NULL::text AS content,
        NULL::text AS thinking,
        NULL::jsonb AS tool_calls,
        s.metadata,
        NULL::bigint AS seq,
        NULL::uuid AS decided_by,
        ARRAY[
          CASE WHEN s.status = 'running' THEN 'open' END,
          CASE WHEN s.closed_with_run THEN 'closed_with_run' END,
          CASE WHEN s.ended_at < s.started_at THEN 'ended_before_started' END
        ] AS flags,
        NULL::double precision AS score_value,
        NULL::text AS score_label,
        NULL::text AS score_source
      FROM agent_steps AS s
      CROSS JOIN LATERAL (
        SELECT coalesce(
          s.started_at,
          -- Unless that were before the first time there is.
          CASE WHEN s.ended_at >= '4714-11-24 00:00+00 BC'::timestamptz + took THEN s.ended_at - took END,
          s.created_at
        ) AS at
        FROM (SELECT s.duration_ms * INTERVAL '1 millisecond' AS took) AS known
      ) AS began
      WHERE s.run_id = r.id
      UNION ALL
      SELECT
        'message', 0, m.id, m.step_id, NULL, m.created_at, NULL, NULL, m.role, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, m.content, m.thinking, m.tool_calls, m.metadata, m.seq, NULL,
        ARRAY[]::text[], NULL, NULL, NULL
      FROM agent_messages AS m
      WHERE m.run_id = r.id
      UNION ALL
      SELECT
        'tokens', 3, c.id, c.step_id, NULL, c.created_at, NULL, NULL, CASE WHEN c.rollup THEN 'rollup' ELSE 'usage' END,
        NULL, NULL, NULL, c.model, NULL, c.input, c.output, c.cache_read, c.cache_write, c.reasoning,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        ARRAY[CASE WHEN c.rollup THEN 'rollup' END], NULL, NULL, NULL
      FROM agent_token_counts AS c
      WHERE c.run_id = r.id
      UNION ALL
      SELECT
        'approval', 2, a.id, a.step_id, NULL, a.created_at, decided.at,
        CASE WHEN decided.at < a.created_at THEN 0 ELSE public.ms_between(a.created_at, decided.at) END,
        a.action_type, NULL, a.action_description, a.status, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        a.action_data, NULL, a.notes, NULL, NULL, a.metadata, NULL, a.decided_by,
        ARRAY[CASE WHEN a.status = 'pending' THEN 'open' END], NULL, NULL, NULL
      FROM approvals AS a
      CROSS JOIN LATERAL (
        SELECT CASE
          WHEN a.status IS DISTINCT FROM 'pending'
            THEN coalesce(a.decided_at, CASE WHEN a.status = 'expired' THEN a.expires_at END)
        END AS at
      ) AS decided
      WHERE a.run_id = r.id
      UNION ALL
      -- The drawing shows name and kind.
      SELECT
        'score', 4, c.id, c.step_id, NULL, c.created_at, NULL, NULL, coalesce(c.label, c.value::text, c.source), NULL,
        c.name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, c.comment, NULL, NULL, c.metadata, NULL,
        NULL, ARRAY[]::text[], c.value, c.label, c.source
      FROM agent_scores AS c
      WHERE c.run_id = r.id
    ) AS e
    FULL JOIN public.run_step_tree(r.id) AS tree ON tree.step_id = e.step_id
  ) AS i
) AS placed;

CREATE OR REPLACE FUNCTION public.run_waterfall(run_id uuid, width integer DEFAULT 60) RETURNS SETOF text
LANGUAGE sql STABLE ROWS 200
SET enable_nestloop = off
SET enable_mergejoin = off
SET jit = off
SET work_mem = '32MB'
AS $function$
  WITH RECURSIVE run AS MATERIALIZED (
    SELECT
      s.*,
      CASE s.status WHEN 'completed' THEN '✓' WHEN 'failed' THEN '✗' WHEN 'running' THEN '…' ELSE ' ' END AS mark,
      greatest(8, least(400, coalesce($2, 60))) AS cells,
      36 AS label_columns
    FROM public.run_summary AS s
    WHERE s.run_id = $1
  ),
  item AS MATERIALIZED (
    -- Not all columns: the inputs and outputs of steps would be looked up.
    SELECT
      t.position, t.item, t.id, t.step_id, t.parent_step_id, t.depth, t.offset_ms, t.duration_ms, t.kind, t.name,
      t.status, t.model, t.error, t.tokens_input, t.tokens_output, t.content, t.thinking, t.tool_calls, t.flags
    FROM public.run_timeline AS t
    WHERE t.run_id = $1
  ),
  used AS (
    SELECT i.step_id, sum(i.tokens_input) AS input, sum(i.tokens_output) AS output
    FROM item AS i
    WHERE i.item = 'tokens' AND i.kind = 'usage' AND i.step_id IS NOT NULL
    GROUP BY i.step_id
  ),
  -- Where the axis ends: with the run or, while it is live, now; where neither
  -- is known, with the last thing in it.
  axis AS MATERIALIZED (
    SELECT greatest(1, CASE
      WHEN r.duration_ms > 0 THEN r.duration_ms
      ELSE greatest(r.running_ms, (SELECT max(i.offset_ms + coalesce(i.duration_ms, 0)) FROM item AS i))
    END) AS span
    FROM run AS r
  ),
  node AS MATERIALIZED (
    SELECT
      n.*,
      row_number() OVER (ORDER BY n.offset_ms, n.position, n.id)::integer AS place,
      lead(n.id) OVER (PARTITION BY n.parent_id ORDER BY n.offset_ms, n.position, n.id) IS NULL AS is_last
    FROM (
      SELECT
        i.item,
        i.id,
        CASE WHEN i.depth > 0 THEN CASE WHEN i.item = 'step' THEN i.parent_step_id ELSE i.step_id END END AS parent_id,
        i.position,
        i.offset_ms,
        CASE
          WHEN 'open' = ANY (i.flags) THEN greatest(0, axis.span - i.offset_ms)
          WHEN i.item <> 'message' THEN i.duration_ms
        END AS duration_ms,
        'open' = ANY (i.flags) AND run.status = 'running' AS goes_on,
        CASE
          WHEN 'open' = ANY (i.flags) THEN '…'
          WHEN i.status IN ('completed', 'approved') THEN '✓'
          WHEN i.status IN ('failed', 'rejected', 'expired') THEN '✗'
          ELSE ' '
        END AS mark,
        CASE
          WHEN i.item = 'message' THEN i.kind || ': ' || coalesce(nullif(i.content, ''), nullif(i.thinking, ''), i.tool_calls::text, '')
          WHEN i.item = 'approval' THEN 'approval: ' || coalesce(i.name || ' (' || i.kind || ')', i.kind)
          ELSE coalesce(i.name, i.model, '?') || coalesce(
            ' (' || CASE i.kind WHEN 'tool_call' THEN 'tool' WHEN 'tool_result' THEN 'result' WHEN 'llm_call' THEN 'llm' ELSE i.kind END || ')', ''
          )
        END AS label,
        used.input AS tokens_input,
        used.output AS tokens_output,
        concat_ws(' · ',
          CASE WHEN i.item = 'approval' THEN concat_ws(': ', i.status, nullif(i.content, '')) END,
          i.error,
          CASE WHEN 'closed_with_run' = ANY (i.flags) THEN 'closed with the run' END,
          CASE WHEN 'ended_before_started' = ANY (i.flags) THEN 'ended before it started' END,
          CASE WHEN 'parent_cycle' = ANY (i.flags) THEN 'its own ancestor' END,
          CASE WHEN 'parent_missing' = ANY (i.flags) THEN 'parent unknown' END
        ) AS note
      FROM item AS i
      CROSS JOIN run
      CROSS JOIN axis
      LEFT JOIN used ON i.item = 'step' AND used.step_id = i.id
      WHERE i.item <> 'tokens'
      UNION ALL
      -- Runs that this one started.
      SELECT
        'run',
        c.run_id,
        NULL,
        NULL,
        began.offset_ms,
        coalesce(c.duration_ms, greatest(0, axis.span - began.offset_ms)),
        c.status = 'running',
        CASE c.status WHEN 'completed' THEN '✓' WHEN 'failed' THEN '✗' ELSE '…' END,
        '⇢ ' || coalesce(c.name, c.agent_id) || ' (run)',
        c.tokens_input,
        c.tokens_output,
        concat_ws(' · ', c.run_id::text, c.error)
      FROM public.run_summary AS c
      CROSS JOIN run
      CROSS JOIN axis
      CROSS JOIN LATERAL (SELECT public.ms_between(run.first_event_at, c.first_event_at) AS offset_ms) AS began
      WHERE c.parent_run_id = $1 AND c.run_id <> $1
    ) AS n
  ),
  -- Without the text, so that its hash table, built once, fits in memory. A
  -- message may share its id with a step; only steps have children.
  slim AS MATERIALIZED (
    SELECT
      node.item,
      node.id,
      CASE WHEN node.item = 'step' THEN node.id END AS own_id,
      node.parent_id,
      node.place,
      node.is_last
    FROM node
  ),
  -- A join where IS NULL would do: the planner takes its guess for many rows
  -- and hashes `slim` below, once, rather than reading it once per level.
  root AS MATERIALIZED (
    SELECT slim.*
    FROM slim
    LEFT JOIN slim AS parent ON parent.own_id = slim.parent_id
    WHERE parent.own_id IS NULL
  ),
  -- Depth first. Beyond what a screen can show the tree goes flat, or a chain
  -- of n steps would carry n × n path elements.
  tree AS (
    SELECT root.item, root.id, root.own_id, root.place, 1 AS level, ARRAY[root.place] AS path, '' AS branch, '' AS stem
    FROM root
    UNION ALL
    SELECT
      child.item,
      child.id,
      child.own_id,
      child.place,
      parent.level + 1,
      CASE WHEN parent.level < 64 THEN parent.path || child.place ELSE parent.path END,
      CASE
        WHEN parent.level > 8 THEN parent.stem || '┄ '
        ELSE parent.stem || CASE WHEN child.is_last THEN '└─ ' ELSE '├─ ' END
      END,
      CASE
        WHEN parent.level > 8 THEN parent.stem
        ELSE parent.stem || CASE WHEN child.is_last THEN '   ' ELSE '│  ' END
      END
    FROM tree AS parent
    JOIN slim AS child ON child.parent_id = parent.own_id
  ),
  line AS (
    SELECT 1 AS part, NULL::integer[] AS path, 0 AS place, concat_ws(' · ',
      r.mark || ' ' || public.waterfall_fit(coalesce(r.name || ' — ', '') || r.agent_id || ' (' || r.agent_type || ')', 80, false),
      concat_ws(' ',
        r.status,
        CASE WHEN r.finalized_by = 'abandoned' THEN '(abandoned)' END,
        CASE
          WHEN r.status = 'running' THEN 'for ' || public.waterfall_ms(r.running_ms)
          ELSE 'in ' || public.waterfall_ms(r.duration_ms)
        END
      ),
      r.steps || CASE WHEN r.steps = 1 THEN ' step' ELSE ' steps' END
        || CASE WHEN r.failed_steps > 0 THEN ', ' || r.failed_steps || ' failed' ELSE '' END
        || CASE WHEN r.open_steps > 0 THEN ', ' || r.open_steps || ' open' ELSE '' END,
      CASE WHEN num_nonnulls(r.tokens_input, r.tokens_output) > 0 THEN
        'tokens ' || coalesce(public.waterfall_count(r.tokens_input::bigint), '?') || ' in'
        || CASE WHEN r.tokens_cache_read > 0 THEN ' (' || public.waterfall_count(r.tokens_cache_read::bigint) || ' cached)' ELSE '' END
        || ', ' || coalesce(public.waterfall_count(r.tokens_output::bigint), '?') || ' out'
      END,
      CASE WHEN r.waiting_ms > 0 THEN 'waited ' || public.waterfall_ms(r.waiting_ms) END
    ) AS content
    FROM run AS r
    UNION ALL
    SELECT 2, NULL, 0, '  run ' || r.run_id || coalesce(
      ', ' || to_char(r.first_event_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS" UTC"'), ''
    ) || coalesce(', started by run ' || r.parent_run_id, '')
    FROM run AS r
    UNION ALL
    SELECT 3, NULL, 0, '  error: ' || public.waterfall_fit(r.error, 160, false)
    FROM run AS r
    WHERE r.error <> ''
    UNION ALL
    SELECT 4, NULL, 0, repeat(' ', r.label_columns + 3) || '0 '
      || repeat('─', greatest(1, r.cells - length(public.waterfall_ms(axis.span)) - 2)) || ' '
      || public.waterfall_ms(axis.span)
    FROM run AS r
    CROSS JOIN axis
    UNION ALL
    SELECT 5, tree.path, tree.place, rtrim(
      node.mark || ' '
      || tree.branch
      || public.waterfall_fit(node.label, r.label_columns - length(tree.branch), true)
      || '│'
      || public.waterfall_bar(
        node.offset_ms, node.offset_ms + coalesce(node.duration_ms, 0), axis.span, r.cells,
        CASE node.item WHEN 'message' THEN 'point' WHEN 'approval' THEN 'wait' ELSE 'bar' END, node.goes_on
      )
      || '│ '
      || lpad(coalesce(public.waterfall_ms(node.duration_ms), ''), 8)
      || '  '
      || rpad(CASE WHEN num_nonnulls(node.tokens_input, node.tokens_output) > 0 THEN
        coalesce(public.waterfall_count(node.tokens_input::bigint), '?') || '→'
        || coalesce(public.waterfall_count(node.tokens_output::bigint), '?')
      ELSE '' END, 12)
      || public.waterfall_fit(node.note, 120, false)
    )
    FROM tree
    JOIN node ON node.item = tree.item AND node.id = tree.id
    CROSS JOIN run AS r
    CROSS JOIN axis
    UNION ALL
    SELECT 6, NULL, 0, 'no run ' || $1
    WHERE NOT EXISTS (SELECT FROM run)
  )
  SELECT line.content
  FROM line
  ORDER BY line.part, line.path, line.place
$function$;

-- Last, so that nobody waits to write runs while the views above wait for their readers.
ALTER TABLE agent_contents ADD CONSTRAINT agent_contents_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id);
