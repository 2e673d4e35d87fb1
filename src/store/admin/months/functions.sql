-- What the layout by month adds: the table of months, and functions that make them and drop them.
CREATE TABLE public.agent_months (
  bucket integer PRIMARY KEY,
  schema_name text NOT NULL UNIQUE,
  starts_at timestamptz NOT NULL UNIQUE
);
COMMENT ON TABLE public.agent_months IS
  'The months whose rows are partitions of their own. Bucket 0 holds what was there before.';
COMMENT ON COLUMN public.agent_months.bucket IS 'Year and month, as 202611; 0: the first partition.';
COMMENT ON COLUMN public.agent_months.schema_name IS 'The schema of the partitions, which have the names of their tables.';
COMMENT ON COLUMN public.agent_months.starts_at IS 'Runs that the database first sees from this time on belong to it, in UTC.';
ALTER TABLE public.agent_months ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Everyone sees the months" ON public.agent_months FOR SELECT USING (true);
INSERT INTO public.agent_months VALUES (0, 'runtraced_first', '-infinity');

-- The bucket of a run that is new, and of rows whose statement names no bucket. The daemon's sessions say which one; to one that
-- does not know the layout this looks like a schema that does not fit, so it looks at the schema again.
CREATE FUNCTION public.agent_bucket() RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
  named CONSTANT text := current_setting('runtraced.bucket', true);
BEGIN
  IF named <> '' THEN
    RETURN named;
  END IF;
  IF current_setting('runtraced.writer', true) = 'on' THEN
    RAISE undefined_column USING MESSAGE = 'the traces are in partitions by month';
  END IF;
  RETURN (SELECT max(m.bucket) FROM public.agent_months AS m WHERE m.starts_at <= now());
END
$$;
COMMENT ON FUNCTION public.agent_bucket() IS 'The bucket of new runs: the month by the database''s clock.';

-- Takes away what default privileges gave to others than the owner.
CREATE FUNCTION public.keep_to_owner(one regclass) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  other record;
BEGIN
  FOR other IN
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS name
    FROM pg_catalog.pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = one AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', one, other.name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.keep_to_owner(regclass) IS 'Revokes the rights of all but the owner on a table.';

-- Lets the daemon's roles write a partition, as they may write its table.
CREATE FUNCTION public.share_month(month text, one text) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  writer record;
BEGIN
  FOR writer IN
    SELECT p.polname AS policy, r.rolname AS role
    FROM pg_catalog.pg_policy AS p
    JOIN pg_catalog.pg_roles AS r ON r.oid = ANY (p.polroles)
    WHERE p.polrelid = ('public.' || one)::regclass AND p.polname = 'runtraced writes as ' || r.rolname
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', month, writer.role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I.%I TO %I', month, one, writer.role);
    EXECUTE format('DROP POLICY IF EXISTS %I ON %I.%I', writer.policy, month, one);
    EXECUTE format('CREATE POLICY %I ON %I.%I FOR ALL TO %I USING (true) WITH CHECK (true)', writer.policy, month, one, writer.role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.share_month(text, text) IS 'Gives the daemon''s roles their rights on one partition.';

-- Lets the triggers for each row fire on a partition when they fire on its table; a new partition has them all enabled.
CREATE FUNCTION public.follow_triggers(month text, one text) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  piece record;
BEGIN
  FOR piece IN
    SELECT g.tgname AS name, g.tgenabled AS fires FROM pg_catalog.pg_trigger AS g
    WHERE g.tgrelid = ('public.' || one)::regclass AND NOT g.tgisinternal AND g.tgtype & 1 = 1 AND g.tgenabled <> 'O'
  LOOP
    EXECUTE format('ALTER TABLE %I.%I %s TRIGGER %I', month, one,
      CASE piece.fires WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, piece.name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.follow_triggers(text, text) IS 'Enables and disables the triggers of a partition as those of its table.';

-- Makes the partitions of one month. Rows reach them through their tables; the daemon writes to them directly. What a partition does
-- not have from its table, it has as the first partition.
CREATE FUNCTION public.make_month(month date) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  bucket CONSTANT integer := to_char(month, 'YYYYMM');
  place CONSTANT text := 'runtraced_' || to_char(month, 'YYYY_MM');
  one text;
  first record;
BEGIN
  -- In the order in which writers lock them, so that nobody waits in a circle.
  LOCK TABLE public.agent_sessions, public.agent_runs IN SHARE ROW EXCLUSIVE MODE;
  LOCK TABLE ONLY public.agent_steps, ONLY public.agent_contents, ONLY public.agent_messages, ONLY public.agent_token_counts
    IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('CREATE SCHEMA %I', place);
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents'] LOOP
    SELECT array_to_string(c.reloptions, ', ') AS options, c.relreplident INTO first
    FROM pg_catalog.pg_class AS c WHERE c.oid = ('runtraced_first.' || one)::regclass;
    EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF public.%2$I (bucket DEFAULT %3$s) FOR VALUES IN (%3$s)', place, one, bucket)
      || coalesce(' WITH (' || first.options || ')', '');
    IF first.relreplident IN ('f', 'n') THEN
      EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY %s', place, one, CASE first.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END);
    END IF;
    PERFORM public.follow_triggers(place, one);
    EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', place, one);
    PERFORM public.keep_to_owner(format('%I.%I', place, one)::regclass);
    PERFORM public.share_month(place, one);
  END LOOP;
  INSERT INTO public.agent_months VALUES (bucket, place, month::timestamp AT TIME ZONE 'UTC');
END
$$;
COMMENT ON FUNCTION public.make_month(date) IS 'Makes the partitions of a month.';

-- Makes the partitions of this month and the next, if they are missing. Any daemon may call it.
CREATE FUNCTION public.prepare_months() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS $$
DECLARE
  this CONSTANT date := date_trunc('month', now() AT TIME ZONE 'UTC');
  made integer := 0;
  month date;
BEGIN
  FOREACH month IN ARRAY ARRAY[this, (this + interval '1 month')::date] LOOP
    CONTINUE WHEN EXISTS (SELECT FROM public.agent_months AS m WHERE m.bucket = to_char(month, 'YYYYMM')::integer);
    -- One at a time; a second one finds it done.
    LOCK TABLE public.agent_months IN SHARE ROW EXCLUSIVE MODE;
    CONTINUE WHEN EXISTS (SELECT FROM public.agent_months AS m WHERE m.bucket = to_char(month, 'YYYYMM')::integer);
    PERFORM public.make_month(month);
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;
COMMENT ON FUNCTION public.prepare_months() IS 'Makes the partitions of this month and the next, if they are missing; returns how many months it made.';

-- Whether a table of the product refers to a run of a month, in a way that does not let the run go.
CREATE FUNCTION public.is_month_held(which integer) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET row_security = off AS $$
DECLARE
  reference record;
  held boolean;
BEGIN
  FOR reference IN
    SELECT k.conrelid::regclass AS name, (
             SELECT string_agg(format('t.%I = r.%I', a.attname, b.attname), ' AND ')
             FROM unnest(k.conkey, k.confkey) AS pair (own, theirs)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = pair.own
             JOIN pg_catalog.pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = pair.theirs) AS matches
    FROM pg_catalog.pg_constraint AS k
    JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
    WHERE k.confrelid = 'public.agent_runs'::regclass AND k.contype = 'f' AND k.confdeltype IN ('a', 'r') AND k.conparentid = 0
      AND NOT (c.relnamespace = 'public'::regnamespace AND c.relname IN (
        'agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents', 'agent_scores', 'approvals', 'agent_run_scopes'))
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t JOIN public.agent_runs AS r ON %s WHERE r.bucket = $1)',
      reference.name, reference.matches) INTO held USING which;
    IF held THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END
$$;
COMMENT ON FUNCTION public.is_month_held(integer) IS 'Whether a table of the product refers to a run of the month by a foreign key.';

-- Drops the partitions of a month that is over, if all its runs are marked as gone and nothing else is in them; their rows go with the
-- partitions. Returns whether it did. Writers of this month wait meanwhile (batch/months.rs takes the same lock), and readers. Where
-- row level security holds for the owner too, it fails: it would not see all rows.
CREATE FUNCTION public.drop_month(which integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' SET row_security = off AS $$
DECLARE
  place text;
BEGIN
  PERFORM pg_advisory_xact_lock(x'72740005'::integer, which);
  -- A run that is new belongs to the latest month that has begun, so that one stays.
  SELECT m.schema_name INTO place
  FROM public.agent_months AS m
  WHERE m.bucket = which AND which > 0
    AND m.starts_at < (SELECT max(b.starts_at) FROM public.agent_months AS b WHERE b.starts_at <= now());
  IF place IS NULL
     OR EXISTS (SELECT FROM public.agent_runs AS r WHERE r.bucket = which AND r.gone_at IS NULL)
     OR EXISTS (SELECT FROM public.agent_messages AS m WHERE m.bucket = which AND m.run_id IS NULL)
     OR public.is_month_held(which) THEN
    RETURN false;
  END IF;
  -- Without the other partitions: writers lock only theirs, so they go on while this waits for readers.
  LOCK TABLE ONLY public.agent_steps, ONLY public.agent_contents, ONLY public.agent_messages, ONLY public.agent_token_counts
    IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('DROP TABLE %1$I.agent_steps, %1$I.agent_contents, %1$I.agent_messages, %1$I.agent_token_counts', place);
  EXECUTE format('DROP SCHEMA %I', place);
  DELETE FROM public.agent_months AS m WHERE m.bucket = which;
  RETURN true;
END
$$;
COMMENT ON FUNCTION public.drop_month(integer) IS 'Drops the partitions of a month whose runs are all marked as gone.';

-- The month of a run, also for who may not see the run: its rows may be seen.
CREATE FUNCTION public.bucket_of_run(run uuid) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT r.bucket FROM public.agent_runs AS r WHERE r.id = run';
COMMENT ON FUNCTION public.bucket_of_run(uuid) IS 'The month of a run (agent_months).';

-- Default privileges may have given others more. Nobody but the daemon's roles needs these.
DO $privileges$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['keep_to_owner(regclass)', 'share_month(text, text)', 'follow_triggers(text, text)', 'make_month(date)', 'prepare_months()',
                             'is_month_held(integer)', 'drop_month(integer)'] LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION public.%s FROM %s', one, (
      SELECT string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')
      FROM pg_catalog.pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
      WHERE p.oid = ('public.' || one)::regprocedure AND a.grantee <> p.proowner));
  END LOOP;
  PERFORM public.keep_to_owner('public.agent_months');
  FOR one IN
    SELECT DISTINCT r.rolname FROM pg_catalog.pg_policy AS p
    JOIN pg_catalog.pg_roles AS r ON r.oid = ANY (p.polroles)
    WHERE p.polrelid = 'public.agent_steps'::regclass AND p.polname = 'runtraced writes as ' || r.rolname
  LOOP
    EXECUTE format('GRANT SELECT ON public.agent_months TO %I', one);
    EXECUTE format('GRANT EXECUTE ON FUNCTION public.agent_bucket(), public.prepare_months() TO %I', one);
    IF has_table_privilege(one, 'public.agent_runs', 'DELETE') THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION public.is_month_held(integer), public.drop_month(integer) TO %I', one);
    END IF;
  END LOOP;
END
$privileges$;
