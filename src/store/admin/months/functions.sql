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

-- Makes the partitions of one month. Rows reach them through their tables; the daemon writes to them directly.
CREATE FUNCTION public.make_month(month date) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  bucket CONSTANT integer := to_char(month, 'YYYYMM');
  place CONSTANT text := 'runtraced_' || to_char(month, 'YYYY_MM');
  one text;
BEGIN
  EXECUTE format('CREATE SCHEMA %I', place);
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents'] LOOP
    EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF public.%2$I (bucket DEFAULT %3$s) FOR VALUES IN (%3$s)', place, one, bucket);
    EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', place, one);
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

-- Drops the partitions of a month that is over, if all its runs are marked as gone; their rows go with the partitions. Returns
-- whether it did. Writers of this month wait meanwhile (find_buckets.sql takes the same lock); those of other months do not.
CREATE FUNCTION public.drop_month(which integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '1s' AS $$
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
     OR EXISTS (SELECT FROM public.agent_runs AS r WHERE r.bucket = which AND r.gone_at IS NULL) THEN
    RETURN false;
  END IF;
  -- In the order in which writers lock them, so that nobody waits in a circle.
  LOCK TABLE public.agent_runs, public.agent_steps, public.agent_contents, public.agent_messages, public.agent_token_counts
    IN ACCESS EXCLUSIVE MODE;
  -- Messages without a run are not those of a month; their session decides how long they are kept.
  UPDATE public.agent_messages AS m SET bucket = 0 WHERE m.bucket = which AND m.run_id IS NULL;
  EXECUTE format('DROP TABLE %1$I.agent_steps, %1$I.agent_contents, %1$I.agent_messages, %1$I.agent_token_counts', place);
  EXECUTE format('DROP SCHEMA %I', place);
  DELETE FROM public.agent_months AS m WHERE m.bucket = which;
  RETURN true;
END
$$;
COMMENT ON FUNCTION public.drop_month(integer) IS 'Drops the partitions of a month whose runs are all marked as gone.';

REVOKE EXECUTE ON FUNCTION public.share_month(text, text), public.make_month(date), public.prepare_months(), public.drop_month(integer)
  FROM PUBLIC;
