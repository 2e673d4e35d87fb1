-- Sums of runs by quarters of an hour, so that totals over many runs need not read every row below them.
--
-- They are exact at every moment. Whatever changes an ended run notes its quarter in run_sums_changes, in the same transaction.
-- Who reads sums up the noted quarters from the runs themselves, and takes all others from run_sums. The daemon sums the noted
-- quarters up again in the background. Runs that go on are no part of run_sums: run_sums_open lists them.
--
-- There are sums over all runs, and for each customer sums over its runs: row level security shows a reader only those that
-- agree with the runs which the reader sees. Whoever sees some of the runs of several customers gets sums from the runs.
--
-- Daemons of earlier versions do not note every change, so the write epoch is the next one.
--
-- Rollback: 0036_statistics.down.sql

CREATE TABLE run_sums (
  owner UUID NOT NULL,
  part TEXT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  agent_id TEXT,
  name TEXT,
  session_id UUID,
  customer_id UUID,
  runs BIGINT NOT NULL,
  running BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  unpriced_calls BIGINT NOT NULL,
  tokens_input BIGINT NOT NULL,
  tokens_output BIGINT NOT NULL,
  tokens_cache_read BIGINT NOT NULL,
  ms BIGINT NOT NULL,
  cost_usd NUMERIC,
  cost_reported_usd NUMERIC,
  last_at TIMESTAMPTZ,
  last_run_id UUID,
  bins SMALLINT[],
  counts INTEGER[],
  wait_bins SMALLINT[],
  wait_counts INTEGER[]
);
CREATE INDEX idx_run_sums_owner ON run_sums(owner, part, at);
CREATE INDEX idx_run_sums_at ON run_sums(at);

COMMENT ON TABLE run_sums IS
  'Sums of ended runs by the quarter of an hour in which they started. Read them through run_sums_between(), which adds what is not in them';
COMMENT ON COLUMN run_sums.owner IS 'The customer whose runs these are; only zeros: all runs';
COMMENT ON COLUMN run_sums.part IS
  'What is summed up: points (all together), runs (by agent), calls (token counts, by agent and model), accounts (costs, by session, customer and user), tools, errors';
COMMENT ON COLUMN run_sums.at IS 'Start of the quarter of an hour';
COMMENT ON COLUMN run_sums.agent_id IS 'Of runs and calls: the agent';
COMMENT ON COLUMN run_sums.name IS 'Of calls: the model; of accounts: metadata.user of the runs; of tools: the tool; of errors: the first 300 characters';
COMMENT ON COLUMN run_sums.session_id IS 'Of accounts: the session';
COMMENT ON COLUMN run_sums.customer_id IS 'Of accounts: the customer that the runs name';
COMMENT ON COLUMN run_sums.runs IS 'Number of runs; of calls: of runs with such calls';
COMMENT ON COLUMN run_sums.running IS 'Those of them that go on';
COMMENT ON COLUMN run_sums.failed IS 'Failed runs; of tools: failed calls';
COMMENT ON COLUMN run_sums.calls IS 'Token counts that are no roll-ups; of tools: calls of the tool';
COMMENT ON COLUMN run_sums.unpriced_calls IS 'Calls whose price is unknown';
COMMENT ON COLUMN run_sums.tokens_input IS 'Input tokens; of runs: their totals';
COMMENT ON COLUMN run_sums.tokens_output IS 'Output tokens; of runs: their totals';
COMMENT ON COLUMN run_sums.tokens_cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN run_sums.ms IS 'Of runs: milliseconds of waiting for people; of tools: of all calls';
COMMENT ON COLUMN run_sums.cost_usd IS 'US dollars of the calls whose price is known; NULL: of none';
COMMENT ON COLUMN run_sums.cost_reported_usd IS 'US dollars as the sources of the steps reported them; NULL: none did';
COMMENT ON COLUMN run_sums.last_at IS 'Of errors: start of the latest run; of calls: time of the latest without a price';
COMMENT ON COLUMN run_sums.last_run_id IS 'Of errors: the latest run';
COMMENT ON COLUMN run_sums.bins IS 'Histogram of durations: duration_bin() of each; NULL: no duration is known';
COMMENT ON COLUMN run_sums.counts IS 'How many are in each of bins';
COMMENT ON COLUMN run_sums.wait_bins IS 'Of runs: histogram of their waiting for people';
COMMENT ON COLUMN run_sums.wait_counts IS 'How many are in each of wait_bins';

-- The same by days in UTC, made from the quarters.
CREATE TABLE run_sums_days (LIKE run_sums);
CREATE INDEX idx_run_sums_days_owner ON run_sums_days(owner, part, at);
CREATE INDEX idx_run_sums_days_at ON run_sums_days(at);

COMMENT ON TABLE run_sums_days IS 'The rows of run_sums added up by days in UTC, except points. A day with a row in run_sums_changes does not hold';
DO $migration$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT a.attname, col_description(a.attrelid, a.attnum) AS told
    FROM pg_attribute AS a
    WHERE a.attrelid = 'run_sums'::regclass AND a.attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN run_sums_days.%I IS %L', one.attname,
      CASE one.attname WHEN 'at' THEN 'Start of the day' ELSE one.told END);
  END LOOP;
END
$migration$;

CREATE TABLE run_sums_changes (
  at TIMESTAMPTZ NOT NULL,
  noted_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_run_sums_changes_at ON run_sums_changes(at);

COMMENT ON TABLE run_sums_changes IS 'Quarters of an hour whose rows in run_sums no longer hold';
COMMENT ON COLUMN run_sums_changes.at IS 'Start of the quarter of an hour';
COMMENT ON COLUMN run_sums_changes.noted_at IS 'When it was noted, by the database''s clock; ahead: it has too many runs to be summed up';

CREATE TABLE run_sums_open (
  run_id UUID NOT NULL,
  owner UUID,
  at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_run_sums_open_at ON run_sums_open(at);

COMMENT ON TABLE run_sums_open IS 'Runs that are in no sum yet, because they go on, are being settled, or wait for a decision';
COMMENT ON COLUMN run_sums_open.run_id IS 'The run';
COMMENT ON COLUMN run_sums_open.owner IS 'The customer whose run it is; NULL: nobody''s';
COMMENT ON COLUMN run_sums_open.at IS 'The quarter of an hour in which the run started';

-- They have no keys, and yet a publication of all tables must not forbid to delete rows.
ALTER TABLE run_sums REPLICA IDENTITY FULL;
ALTER TABLE run_sums_days REPLICA IDENTITY FULL;
ALTER TABLE run_sums_changes REPLICA IDENTITY FULL;
ALTER TABLE run_sums_open REPLICA IDENTITY FULL;

-- Quarters of an hour. Times that no run has in practice are all in one, because not every time has a quarter.

CREATE FUNCTION public.quarter_hour(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT date_bin('15 minutes', least(greatest($1, '0001-01-01 00:00+00'), '9999-01-01 00:00+00'), '1970-01-01 00:00+00')
$function$;
COMMENT ON FUNCTION public.quarter_hour(timestamptz) IS 'The start of the quarter of an hour that holds a time';

CREATE FUNCTION public.duration_bin(ms bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN $1 < 100 THEN greatest($1, 0)
    ELSE 100 + floor(ln($1::double precision / 100) / ln(1.03::double precision))
  END::smallint
$function$;
COMMENT ON FUNCTION public.duration_bin(bigint) IS
  'The bin of a histogram for so many milliseconds: one for each below 100, then each 3 percent wider than the one before';

CREATE FUNCTION public.bin_duration(bin smallint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE WHEN $1 < 100 THEN $1 ELSE round(100 * power(1.03::double precision, $1 - 99.5)) END::bigint
$function$;
COMMENT ON FUNCTION public.bin_duration(smallint) IS
  'Milliseconds in the middle of a bin: they differ by at most 2 percent from every duration in it';

-- Sums of given runs.

CREATE FUNCTION public.each_id(ids uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2000 SET search_path = ''
AS $function$
BEGIN
  RETURN QUERY SELECT unnest($1);
END
$function$;
COMMENT ON FUNCTION public.each_id(uuid[]) IS 'A row for each id. The planner takes them for many, so that it looks rows up by index and joins by hashing';

CREATE FUNCTION public.run_sums_of(runs uuid[], part text, width interval, by_owner boolean) RETURNS SETOF public.run_sums
LANGUAGE sql STABLE
SET search_path = '' SET enable_seqscan = off SET enable_mergejoin = off SET random_page_cost = 1.1 SET jit = off
AS $function$
WITH run AS MATERIALIZED (
  SELECT
    r.id,
    CASE WHEN $4 THEN coalesce(r.tenant_id, r.customer_id, (
      SELECT coalesce(s.tenant_id, s.customer_id) FROM public.agent_sessions AS s WHERE s.id = r.session_id
    )) ELSE '00000000-0000-0000-0000-000000000000' END AS owner,
    date_bin($3, least(greatest(r.started_at, '0001-01-01 00:00+00'), '9999-01-01 00:00+00'), '1970-01-01 00:00+00') AS at,
    r.started_at,
    r.agent_id,
    r.status,
    r.duration_ms,
    r.total_tokens_input,
    r.total_tokens_output,
    r.session_id,
    r.customer_id,
    CASE WHEN $2 = 'accounts' THEN r.metadata ->> 'user' END AS user_name,
    CASE WHEN $2 = 'errors' THEN left(r.error, 300) END AS error
  FROM public.each_id($1) AS k (id)
  JOIN public.agent_runs AS r ON r.id = k.id
  WHERE r.started_at IS NOT NULL
), waited AS MATERIALIZED (
  SELECT
    a.run_id,
    sum(public.ms_between(a.created_at, coalesce(a.decided_at, least(a.expires_at, now()), now())))::bigint AS ms
  FROM run AS r
  JOIN public.approvals AS a ON a.run_id = r.id
  GROUP BY a.run_id
), band AS MATERIALIZED (
  SELECT b.*, row_number() OVER () AS number FROM public.price_bands AS b
), counted AS MATERIALIZED (
  SELECT r.id, u.model, b.number, count(*) AS calls, sum(u.input) AS input, sum(u.output) AS output,
    sum(u.cache_read) AS cache_read, sum(u.cache_write) AS cache_write,
    sum(greatest(u.input - u.cache_read - u.cache_write, 0)) AS fresh,
    sum(greatest(u.output - u.reasoning, 0)) AS plain, sum(least(u.reasoning, u.output)) AS reasoning,
    max(c.created_at) AS last_at
  FROM run AS r
  JOIN public.agent_token_counts AS c ON c.run_id = r.id AND NOT c.rollup
  CROSS JOIN LATERAL (
    SELECT coalesce(c.model, (SELECT s.model FROM public.agent_steps AS s WHERE s.id = c.step_id)) AS model,
      coalesce(c.input, 0)::bigint AS input, coalesce(c.output, 0)::bigint AS output,
      coalesce(c.cache_read, 0)::bigint AS cache_read, coalesce(c.cache_write, 0)::bigint AS cache_write,
      coalesce(c.reasoning, 0)::bigint AS reasoning
  ) AS u
  LEFT JOIN band AS b ON b.model = CASE WHEN u.model IN (SELECT public.models_with_keys())
      THEN public.price_key(u.model, c.step_id) ELSE u.model END
    AND b.valid_from <= c.created_at AND c.created_at < b.valid_until
    AND b.above_input_tokens < greatest(u.input, 1) AND greatest(u.input, 1) <= b.up_to_input_tokens
    -- Where only one of the two has a price, a call that used the other has none.
    AND (b.input IS NOT NULL OR u.input = 0) AND (b.output IS NOT NULL OR u.output = 0)
    AND num_nonnulls(c.input, c.output, c.cache_read, c.cache_write, c.reasoning) > 0
  GROUP BY r.id, u.model, b.number
), added AS MATERIALIZED (
  SELECT r.owner, r.at, CASE WHEN $2 = 'calls' THEN r.agent_id END AS agent_id,
    CASE WHEN $2 = 'accounts' THEN r.session_id END AS session_id, CASE WHEN $2 = 'accounts' THEN r.customer_id END AS customer_id,
    r.user_name, c.model, c.number, sum(c.calls) AS calls, sum(c.input) AS input, sum(c.output) AS output,
    sum(c.cache_read) AS cache_read, sum(c.cache_write) AS cache_write, sum(c.fresh) AS fresh, sum(c.plain) AS plain,
    sum(c.reasoning) AS reasoning, max(c.last_at) AS last_at
  FROM counted AS c
  JOIN run AS r ON r.id = c.id
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), used AS MATERIALIZED (
  -- Tokens are added up before they are multiplied.
  SELECT a.*, CASE WHEN a.number IS NOT NULL THEN (
    a.fresh * coalesce(b.input, 0) + a.cache_read * coalesce(b.cache_read, 0)
    + a.cache_write * coalesce(b.cache_write, 0)
    + a.plain * coalesce(b.output, 0) + a.reasoning * coalesce(b.reasoning, 0)
  ) / 1000000 END AS cost_usd
  FROM added AS a
  LEFT JOIN band AS b ON b.number = a.number
), reported AS MATERIALIZED (
  -- A step reports what it cost in all, however many token counts it has.
  SELECT DISTINCT ON (s.id) r.id, coalesce(c.model, s.model) AS model, public.reported_cost(s.metadata) AS cost_usd
  FROM run AS r
  JOIN public.agent_token_counts AS c ON c.run_id = r.id AND NOT c.rollup
  JOIN public.agent_steps AS s ON s.id = c.step_id AND s.run_id = c.run_id AND s.metadata ?| ARRAY[
    'gen_ai.usage.cost', 'gen_ai.usage.total_cost', 'llm.cost.total', 'langfuse.observation.cost_details']
  ORDER BY s.id, c.id
)
SELECT p.owner, $2, p.at, p.agent_id, NULL, NULL::uuid, NULL::uuid,
  (sum(p.n) FILTER (WHERE NOT p.wait))::bigint, sum(p.running)::bigint, sum(p.failed)::bigint, 0::bigint, 0::bigint,
  sum(p.input)::bigint, sum(p.output)::bigint, 0::bigint, sum(p.ms)::bigint,
  NULL::numeric, NULL::numeric, NULL::timestamptz, NULL::uuid,
  array_agg(p.bin ORDER BY p.bin) FILTER (WHERE NOT p.wait AND p.bin IS NOT NULL),
  array_agg(p.n::integer ORDER BY p.bin) FILTER (WHERE NOT p.wait AND p.bin IS NOT NULL),
  array_agg(p.bin ORDER BY p.bin) FILTER (WHERE p.wait), array_agg(p.n::integer ORDER BY p.bin) FILTER (WHERE p.wait)
FROM (
  SELECT r.owner, r.at, CASE WHEN $2 = 'runs' THEN r.agent_id END AS agent_id, false AS wait, public.duration_bin(r.duration_ms) AS bin, count(*) AS n,
    count(*) FILTER (WHERE r.status = 'running') AS running, count(*) FILTER (WHERE r.status = 'failed') AS failed,
    coalesce(sum(r.total_tokens_input), 0) AS input, coalesce(sum(r.total_tokens_output), 0) AS output, 0 AS ms
  FROM run AS r
  GROUP BY 1, 2, 3, 5
  UNION ALL
  SELECT r.owner, r.at, CASE WHEN $2 = 'runs' THEN r.agent_id END, true, public.duration_bin(w.ms), count(*), 0, 0, 0, 0, sum(w.ms)
  FROM waited AS w
  JOIN run AS r ON r.id = w.run_id
  GROUP BY 1, 2, 3, 5
) AS p
WHERE $2 IN ('runs', 'points') AND p.owner IS NOT NULL
GROUP BY 1, 3, 4
UNION ALL
SELECT p.owner, $2, p.at, p.agent_id, p.name, p.session_id, p.customer_id, sum(p.runs)::bigint, 0, 0,
  sum(p.calls)::bigint, (coalesce(sum(p.calls) FILTER (WHERE p.cost_usd IS NULL), 0))::bigint,
  -- Of points, the runs have the tokens already.
  CASE WHEN $2 = 'points' THEN 0 ELSE sum(p.input)::bigint END, CASE WHEN $2 = 'points' THEN 0 ELSE sum(p.output)::bigint END,
  sum(p.cache_read)::bigint, 0, sum(p.cost_usd), sum(p.reported_usd), max(p.last_at), NULL, NULL, NULL, NULL, NULL
FROM (
  SELECT u.owner, u.at, u.agent_id, CASE WHEN $2 = 'calls' THEN u.model ELSE u.user_name END AS name, u.session_id, u.customer_id,
    0 AS runs, u.calls, u.input, u.output, u.cache_read, u.cost_usd, NULL::numeric AS reported_usd,
    CASE WHEN u.cost_usd IS NULL THEN u.last_at END AS last_at
  FROM used AS u
  UNION ALL
  SELECT r.owner, r.at, CASE WHEN $2 = 'calls' THEN r.agent_id END, CASE WHEN $2 = 'calls' THEN p.model ELSE r.user_name END,
    CASE WHEN $2 = 'accounts' THEN r.session_id END, CASE WHEN $2 = 'accounts' THEN r.customer_id END,
    0, 0, 0, 0, 0, NULL, p.cost_usd, NULL
  FROM reported AS p
  JOIN run AS r ON r.id = p.id
  WHERE $2 <> 'points'
  UNION ALL
  SELECT r.owner, r.at, r.agent_id, c.model, NULL, NULL, count(DISTINCT r.id), 0, 0, 0, 0, NULL, NULL, NULL
  FROM counted AS c
  JOIN run AS r ON r.id = c.id
  WHERE $2 = 'calls'
  GROUP BY 1, 2, 3, 4
  UNION ALL
  SELECT r.owner, r.at, NULL, r.user_name, r.session_id, r.customer_id, count(*), 0, 0, 0, 0, NULL, NULL, NULL
  FROM run AS r
  WHERE $2 = 'accounts'
  GROUP BY 1, 2, 4, 5, 6
) AS p
WHERE $2 IN ('calls', 'accounts', 'points') AND p.owner IS NOT NULL
GROUP BY 1, 3, 4, 5, 6, 7
UNION ALL
SELECT p.owner, 'tools', p.at, NULL, p.name, NULL, NULL, 0, 0, sum(p.failed)::bigint, sum(p.calls)::bigint, 0, 0, 0, 0,
  coalesce(sum(p.ms), 0)::bigint, NULL, NULL, NULL, NULL,
  array_agg(p.bin ORDER BY p.bin) FILTER (WHERE p.bin IS NOT NULL),
  array_agg(p.calls::integer ORDER BY p.bin) FILTER (WHERE p.bin IS NOT NULL), NULL, NULL
FROM (
  SELECT r.owner, r.at, t.name, public.duration_bin(t.duration_ms) AS bin, count(*) AS calls,
    count(*) FILTER (WHERE t.status = 'failed') AS failed, sum(t.duration_ms) AS ms
  FROM run AS r
  JOIN public.agent_steps AS t ON t.run_id = r.id AND t.step_type = 'tool_call'
  GROUP BY 1, 2, 3, 4
) AS p
WHERE $2 = 'tools' AND p.owner IS NOT NULL
GROUP BY 1, 3, 5
UNION ALL
SELECT r.owner, 'errors', r.at, NULL, r.error, NULL, NULL, count(*), 0, count(*), 0, 0, 0, 0, 0, 0, NULL, NULL,
  max(r.started_at), (array_agg(r.id ORDER BY r.started_at DESC, r.id))[1], NULL, NULL, NULL, NULL
FROM run AS r
WHERE $2 = 'errors' AND r.status = 'failed' AND r.owner IS NOT NULL
GROUP BY 1, 3, 5
$function$;
COMMENT ON FUNCTION public.run_sums_of(uuid[], text, interval, boolean) IS
  'Sums of these runs, as rows of run_sums of one part: from the runs themselves, by times of this width, for all or by owner';

-- Rows of run_sums, added up: as points, or by days.

CREATE FUNCTION public.merge_run_sums(quarters timestamptz[], as_points boolean) RETURNS SETOF public.run_sums
LANGUAGE sql STABLE SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
WITH sum AS MATERIALIZED (
  SELECT s.owner, CASE WHEN $2 THEN 'points' ELSE s.part END AS part,
    CASE WHEN $2 THEN s.at ELSE date_bin('1 day', s.at, '1970-01-01 00:00+00') END AS at,
    CASE WHEN NOT $2 THEN s.agent_id END AS agent_id, CASE WHEN NOT $2 THEN s.name END AS name, s.session_id, s.customer_id,
    -- Calls of a point are beside its runs, which have the tokens already.
    NOT $2 OR s.part = 'runs' AS has_runs,
    s.runs, s.running, s.failed, s.calls, s.unpriced_calls, s.tokens_input, s.tokens_output, s.tokens_cache_read, s.ms,
    s.cost_usd, CASE WHEN NOT $2 THEN s.cost_reported_usd END AS cost_reported_usd, s.last_at, s.last_run_id,
    s.bins, s.counts, s.wait_bins, s.wait_counts
  FROM public.run_sums AS s
  WHERE s.at = ANY ($1) AND CASE WHEN $2 THEN s.part IN ('runs', 'calls') ELSE s.part <> 'points' END
)
SELECT p.owner, p.part, p.at, p.agent_id, p.name, p.session_id, p.customer_id,
  sum(p.runs)::bigint, sum(p.running)::bigint, sum(p.failed)::bigint, sum(p.calls)::bigint, sum(p.unpriced_calls)::bigint,
  sum(p.tokens_input)::bigint, sum(p.tokens_output)::bigint, sum(p.tokens_cache_read)::bigint, sum(p.ms)::bigint,
  sum(p.cost_usd), sum(p.cost_reported_usd), max(p.last_at),
  (array_agg(p.last_run_id ORDER BY p.last_at DESC, p.last_run_id) FILTER (WHERE p.last_run_id IS NOT NULL))[1],
  array_agg(p.bin ORDER BY p.bin) FILTER (WHERE p.kind = 1), array_agg(p.n::integer ORDER BY p.bin) FILTER (WHERE p.kind = 1),
  array_agg(p.bin ORDER BY p.bin) FILTER (WHERE p.kind = 2), array_agg(p.n::integer ORDER BY p.bin) FILTER (WHERE p.kind = 2)
FROM (
  SELECT s.owner, s.part, s.at, s.agent_id, s.name, s.session_id, s.customer_id, 0 AS kind, NULL::smallint AS bin, NULL::bigint AS n,
    CASE WHEN s.has_runs THEN s.runs ELSE 0 END AS runs, s.running, s.failed, s.calls, s.unpriced_calls,
    CASE WHEN s.has_runs THEN s.tokens_input ELSE 0 END AS tokens_input,
    CASE WHEN s.has_runs THEN s.tokens_output ELSE 0 END AS tokens_output,
    s.tokens_cache_read, s.ms, s.cost_usd, s.cost_reported_usd, s.last_at, s.last_run_id
  FROM sum AS s
  UNION ALL
  SELECT s.owner, s.part, s.at, s.agent_id, s.name, s.session_id, s.customer_id, b.kind, b.bin, sum(b.n)::bigint,
    0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL
  FROM sum AS s
  CROSS JOIN LATERAL (
    SELECT 1 AS kind, d.bin, d.n FROM unnest(s.bins, s.counts) AS d (bin, n)
    UNION ALL
    SELECT 2, w.bin, w.n FROM unnest(s.wait_bins, s.wait_counts) AS w (bin, n)
  ) AS b
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
) AS p
GROUP BY 1, 2, 3, 4, 5, 6, 7
$function$;
COMMENT ON FUNCTION public.merge_run_sums(timestamptz[], boolean) IS
  'The rows of run_sums of these quarters of an hour, added up: to one point for each quarter, or by days';

-- Sums of all runs of a time that the current request may see.

CREATE FUNCTION public.run_sums_owner() RETURNS uuid
LANGUAGE sql STABLE SET search_path = ''
AS $function$
  SELECT CASE
    WHEN NOT pg_catalog.row_security_active('public.agent_runs'::regclass) THEN '00000000-0000-0000-0000-000000000000'::uuid
    -- A product may show less than the policies of runtraced do.
    WHEN EXISTS (
      SELECT
      FROM pg_catalog.pg_policy AS p
      WHERE NOT p.polpermissive AND p.polcmd IN ('r', '*') AND p.polrelid IN (
        'public.agent_runs'::regclass, 'public.agent_steps'::regclass, 'public.agent_token_counts'::regclass,
        'public.approvals'::regclass, 'public.agent_sessions'::regclass)
    ) THEN NULL
    WHEN EXISTS (
      SELECT
      FROM pg_catalog.pg_policy AS p
      WHERE p.polrelid = 'public.agent_runs'::regclass AND p.polname = ('runtraced writes as ' || current_user)::name
        AND (SELECT a.oid FROM pg_catalog.pg_roles AS a WHERE a.rolname = current_user) = ANY (p.polroles)
    ) THEN '00000000-0000-0000-0000-000000000000'
    WHEN public.is_admin(auth.uid()) THEN '00000000-0000-0000-0000-000000000000'
    WHEN auth.uid() IS NULL THEN public.reader_customer()
  END
$function$;
COMMENT ON FUNCTION public.run_sums_owner() IS
  'run_sums.owner of the sums that agree with the runs which the current request may see; NULL: there are none';

CREATE FUNCTION public.run_sums_between(since timestamptz, until timestamptz, part text, by_day boolean) RETURNS SETOF public.run_sums
LANGUAGE sql STABLE
AS $function$
WITH me AS MATERIALIZED (
  SELECT public.run_sums_owner() AS owner
), bounds AS MATERIALIZED (
  -- Whole quarters are those from `first` to `last`.
  SELECT t.since, t.until, least(t.first, t.until) AS first, greatest(least(t.first, t.until), t.last) AS last
  FROM (
    SELECT
      $1 AS since,
      coalesce($2, 'infinity') AS until,
      public.quarter_hour(CASE WHEN $1 > '0001-01-01 00:00+00' AND $1 < '9999-01-01 00:00+00'
        THEN $1 + INTERVAL '15 minutes' - INTERVAL '1 microsecond' ELSE $1 END) AS first,
      public.quarter_hour(coalesce($2, 'infinity')) AS last
  ) AS t
), changed AS MATERIALIZED (
  SELECT DISTINCT c.at
  FROM bounds AS t
  JOIN public.run_sums_changes AS c ON c.at >= t.first AND c.at < t.last
  WHERE (SELECT me.owner FROM me) IS NOT NULL
), day AS MATERIALIZED (
  -- Whatever part a day has rows of, it has runs.
  SELECT DISTINCT d.at
  FROM bounds AS t
  JOIN public.run_sums_days AS d ON d.at >= t.first AND d.at + INTERVAL '1 day' <= t.last
  WHERE $4 AND d.owner = (SELECT me.owner FROM me) AND d.part = 'runs'
    AND NOT EXISTS (SELECT FROM changed AS c WHERE c.at >= d.at AND c.at < d.at + INTERVAL '1 day')
), span AS MATERIALIZED (
  SELECT t.since, t.until FROM bounds AS t WHERE (SELECT me.owner FROM me) IS NULL
  UNION ALL
  SELECT t.since, t.first FROM bounds AS t WHERE (SELECT me.owner FROM me) IS NOT NULL
  UNION ALL
  SELECT t.last, t.until FROM bounds AS t WHERE (SELECT me.owner FROM me) IS NOT NULL
  UNION ALL
  SELECT c.at, c.at + INTERVAL '15 minutes' FROM changed AS c
)
SELECT s.*
FROM public.run_sums_days AS s
WHERE s.owner = (SELECT me.owner FROM me) AND s.part = $3 AND s.at = ANY (ARRAY(SELECT d.at FROM day AS d))
UNION ALL
SELECT s.*
FROM (
  -- The rest: each stretch of quarters between days.
  SELECT e.at + e.width AS since, lead(e.at) OVER (ORDER BY e.at, e.width) AS until
  FROM (
    SELECT d.at, INTERVAL '1 day' AS width FROM day AS d
    UNION ALL
    SELECT t.first, INTERVAL '0' FROM bounds AS t
    UNION ALL
    SELECT t.last, INTERVAL '0' FROM bounds AS t
  ) AS e
) AS g
JOIN public.run_sums AS s ON s.at >= g.since AND s.at < g.until
WHERE s.owner = (SELECT me.owner FROM me) AND s.part = $3 AND s.at NOT IN (SELECT c.at FROM changed AS c)
UNION ALL
SELECT s.*
FROM public.run_sums_of(ARRAY(
  SELECT r.id
  FROM span AS p
  JOIN public.agent_runs AS r ON r.started_at >= p.since AND r.started_at < p.until
  UNION ALL
  SELECT o.run_id
  FROM bounds AS t
  JOIN public.run_sums_open AS o ON o.at >= t.first AND o.at < t.last
  WHERE o.at NOT IN (SELECT c.at FROM changed AS c) AND (SELECT me.owner FROM me) IS NOT NULL
), $3, INTERVAL '15 minutes', false) AS s
$function$;
COMMENT ON FUNCTION public.run_sums_between(timestamptz, timestamptz, text, boolean) IS
  'Sums of the runs that started in a time, as rows of run_sums of one part, by quarters of an hour, or by days where there are whole ones: '
  'from run_sums where it holds, and from the runs otherwise';

-- What changes a sum.

CREATE FUNCTION public.note_run_sums(runs uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
  INSERT INTO public.run_sums_changes (at)
  SELECT DISTINCT public.quarter_hour(r.started_at)
  FROM public.agent_runs AS r
  WHERE r.id = ANY ($1) AND r.started_at IS NOT NULL
$function$;
COMMENT ON FUNCTION public.note_run_sums(uuid[]) IS 'Notes that something below these runs has changed; for the daemon';

-- A run that goes on is in no sum, so only its start, its end and what comes after them count. The plan is kept for
-- statements of all sizes.
CREATE FUNCTION public.note_run_sums_of_runs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET enable_hashjoin = on SET enable_nestloop = off SET jit = off
AS $function$
BEGIN
  CASE TG_OP
    WHEN 'INSERT' THEN
      INSERT INTO public.run_sums_changes (at)
      SELECT DISTINCT public.quarter_hour(n.started_at) FROM new_rows AS n WHERE n.started_at IS NOT NULL;
    WHEN 'UPDATE' THEN
      INSERT INTO public.run_sums_changes (at)
      SELECT DISTINCT public.quarter_hour(t.at)
      FROM old_rows AS o
      JOIN new_rows AS n ON n.id = o.id
      CROSS JOIN LATERAL (VALUES (o.started_at), (n.started_at)) AS t (at)
      WHERE t.at IS NOT NULL
        AND (o.status <> 'running' OR n.status <> 'running' OR o.started_at IS DISTINCT FROM n.started_at);
    WHEN 'DELETE' THEN
      INSERT INTO public.run_sums_changes (at)
      SELECT DISTINCT public.quarter_hour(o.started_at) FROM old_rows AS o WHERE o.started_at IS NOT NULL;
    ELSE
      TRUNCATE public.run_sums, public.run_sums_days, public.run_sums_changes, public.run_sums_open;
  END CASE;
  RETURN NULL;
END
$function$;

CREATE FUNCTION public.note_run_sums_of_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    PERFORM public.note_run_sums(ARRAY(SELECT DISTINCT o.run_id FROM old_rows AS o));
  END IF;
  IF TG_OP <> 'DELETE' THEN
    PERFORM public.note_run_sums(ARRAY(SELECT DISTINCT n.run_id FROM new_rows AS n));
  END IF;
  RETURN NULL;
END
$function$;

-- A session gives its owner to runs that name none.
CREATE FUNCTION public.note_run_sums_of_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
BEGIN
  INSERT INTO public.run_sums_changes (at)
  SELECT DISTINCT public.quarter_hour(r.started_at)
  FROM public.agent_runs AS r
  WHERE r.session_id = NEW.id AND r.started_at IS NOT NULL AND coalesce(r.tenant_id, r.customer_id) IS NULL;
  RETURN NULL;
END
$function$;

-- Sums that are being made by the old prices are noted too: the lock waits for them.
CREATE FUNCTION public.note_run_sums_of_prices() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $function$
DECLARE
  models text[] := '{}';
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(1920204803, 0);
  IF TG_OP <> 'INSERT' THEN
    models := models || ARRAY(SELECT DISTINCT o.model FROM old_rows AS o);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    models := models || ARRAY(SELECT DISTINCT n.model FROM new_rows AS n);
  END IF;
  INSERT INTO public.run_sums_changes (at)
  SELECT DISTINCT s.at
  FROM public.run_sums AS s
  WHERE s.owner = '00000000-0000-0000-0000-000000000000' AND s.part = 'calls'
    AND (s.name = ANY (models) OR s.name IN (
      -- Rows by provider or of batches are about their model.
      SELECT regexp_replace(m.model, '(@[^@:]+)?(:batch)?$', '') FROM unnest(models) AS m (model)));
  RETURN NULL;
END
$function$;

COMMENT ON FUNCTION public.note_run_sums_of_runs() IS 'Trigger: notes the quarters of runs that start, end, or change once they have ended';
COMMENT ON FUNCTION public.note_run_sums_of_rows() IS 'Trigger: notes the quarters of runs whose approvals change, or whose rows are deleted';
COMMENT ON FUNCTION public.note_run_sums_of_session() IS 'Trigger: notes the quarters of runs whose session moves to another customer';
COMMENT ON FUNCTION public.note_run_sums_of_prices() IS 'Trigger: notes the quarters in which a model with another price was called';

CREATE TRIGGER run_sums_inserted AFTER INSERT ON agent_runs
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_runs();
CREATE TRIGGER run_sums_updated AFTER UPDATE ON agent_runs
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_runs();
CREATE TRIGGER run_sums_deleted AFTER DELETE ON agent_runs
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_runs();
CREATE TRIGGER run_sums_truncated AFTER TRUNCATE ON agent_runs
  FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_runs();
CREATE TRIGGER run_sums_deleted AFTER DELETE ON agent_steps
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_rows();
CREATE TRIGGER run_sums_deleted AFTER DELETE ON agent_token_counts
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_rows();
CREATE TRIGGER run_sums_inserted AFTER INSERT ON approvals
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_rows();
CREATE TRIGGER run_sums_updated AFTER UPDATE ON approvals
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_rows();
CREATE TRIGGER run_sums_deleted AFTER DELETE ON approvals
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_rows();
CREATE TRIGGER run_sums_moved AFTER UPDATE ON agent_sessions
  FOR EACH ROW WHEN ((OLD.tenant_id, OLD.customer_id) IS DISTINCT FROM (NEW.tenant_id, NEW.customer_id))
  EXECUTE FUNCTION public.note_run_sums_of_session();
CREATE TRIGGER run_sums_inserted AFTER INSERT ON model_prices
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_prices();
CREATE TRIGGER run_sums_updated AFTER UPDATE ON model_prices
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_prices();
CREATE TRIGGER run_sums_deleted AFTER DELETE ON model_prices
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_run_sums_of_prices();

-- The work in the background. One daemon at a time does it, in one statement, so that sums and changes are of one moment.

CREATE FUNCTION public.fill_run_sums(most_runs bigint, densest bigint, quiet interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
  quarters timestamptz[];
  dense timestamptz[];
BEGIN
  IF NOT pg_catalog.pg_try_advisory_xact_lock(1920204803, 0) THEN
    RETURN 0;
  END IF;
  SELECT
    coalesce(array_agg(d.at) FILTER (WHERE d.runs <= densest AND (d.number = 1 OR d.up_to <= most_runs)), '{}'),
    coalesce(array_agg(d.at) FILTER (WHERE d.runs > densest), '{}')
  INTO quarters, dense
  FROM (
    SELECT d.at, d.runs, sum(d.runs) OVER (PARTITION BY d.runs > densest ORDER BY d.first, d.at DESC) AS up_to,
      row_number() OVER (PARTITION BY d.runs > densest ORDER BY d.first, d.at DESC) AS number
    FROM (
      SELECT d.at, d.first, (
        SELECT count(*) FROM public.agent_runs AS r WHERE r.started_at >= d.at AND r.started_at < d.at + INTERVAL '15 minutes'
      ) AS runs
      FROM (
        -- Those of which nothing has changed for a while, and that are over.
        SELECT c.at, min(c.noted_at) AS first
        FROM public.run_sums_changes AS c
        WHERE c.at < now() - INTERVAL '16 minutes'
        GROUP BY c.at
        HAVING max(c.noted_at) <= clock_timestamp() - quiet
        ORDER BY min(c.noted_at), c.at DESC
        LIMIT 50
      ) AS d
    ) AS d
  ) AS d;
  -- Nobody waits for one that takes long. It is summed up when it is read.
  UPDATE public.run_sums_changes AS c SET noted_at = clock_timestamp() + INTERVAL '1 hour' WHERE c.at = ANY (dense);
  IF quarters = '{}' THEN
    RETURN 0;
  END IF;
  WITH changes AS (
    DELETE FROM public.run_sums_changes AS c WHERE c.at = ANY (quarters)
  ), old_sums AS (
    DELETE FROM public.run_sums AS s WHERE s.at = ANY (quarters)
  ), old_days AS (
    DELETE FROM public.run_sums_days AS d
    WHERE d.at IN (SELECT date_bin('1 day', q.at, '1970-01-01 00:00+00') FROM unnest(quarters) AS q (at))
  ), old_open AS (
    DELETE FROM public.run_sums_open AS o WHERE o.at = ANY (quarters)
  ), run AS MATERIALIZED (
    SELECT
      r.id,
      q.at,
      coalesce(r.tenant_id, r.customer_id, (
        SELECT coalesce(s.tenant_id, s.customer_id) FROM public.agent_sessions AS s WHERE s.id = r.session_id
      )) AS owner,
      r.status = 'running' OR r.settle_at IS NOT NULL OR EXISTS (
        SELECT
        FROM public.approvals AS a
        WHERE a.run_id = r.id AND a.decided_at IS NULL AND coalesce(a.expires_at > now(), true)
      ) AS is_open
    FROM unnest(quarters) AS q (at)
    JOIN public.agent_runs AS r ON r.started_at >= q.at AND r.started_at < q.at + INTERVAL '15 minutes'
  ), new_open AS (
    -- A run whose start has moved is in the list of its old quarter still.
    INSERT INTO public.run_sums_open (run_id, owner, at)
    SELECT r.id, r.owner, r.at FROM run AS r WHERE r.is_open
  ), new_sums AS (
    INSERT INTO public.run_sums
    SELECT s.*
    FROM unnest(ARRAY['runs', 'calls', 'accounts', 'tools', 'errors']) AS p (part)
    CROSS JOIN LATERAL public.run_sums_of(
      ARRAY(SELECT r.id FROM run AS r WHERE NOT r.is_open), p.part, INTERVAL '15 minutes', false) AS s
  )
  INSERT INTO public.run_sums
  SELECT s.*
  FROM unnest(ARRAY['runs', 'calls', 'accounts', 'tools', 'errors']) AS p (part)
  CROSS JOIN LATERAL public.run_sums_of(
    ARRAY(SELECT r.id FROM run AS r WHERE NOT r.is_open AND r.owner IS NOT NULL), p.part, INTERVAL '15 minutes', true) AS s;
  INSERT INTO public.run_sums SELECT s.* FROM public.merge_run_sums(quarters, true) AS s;
  RETURN cardinality(quarters);
END
$function$;
COMMENT ON FUNCTION public.fill_run_sums(bigint, bigint, interval) IS
  'Sums up quarters of an hour that have changed, and not again for so long: about so many runs, but no quarter with more than the densest may have. '
  'Returns how many quarters; for the daemon';

CREATE FUNCTION public.fill_run_sums_days() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
  done bigint := 0;
  day timestamptz;
BEGIN
  IF NOT pg_catalog.pg_try_advisory_xact_lock(1920204803, 0) THEN
    RETURN 0;
  END IF;
  -- The latest day that is over and holds. One with very many rows would take long.
  SELECT d.at INTO day
  FROM (
    SELECT date_bin('1 day', s.at, '1970-01-01 00:00+00') AS at, sum(s.runs) AS runs
    FROM public.run_sums AS s
    WHERE s.owner = '00000000-0000-0000-0000-000000000000' AND s.part = 'points'
      AND s.at < date_bin('1 day', now() - INTERVAL '16 minutes', '1970-01-01 00:00+00')
    GROUP BY 1
  ) AS d
  WHERE d.runs <= 250000
    AND NOT EXISTS (SELECT FROM public.run_sums_days AS s WHERE s.at = d.at)
    AND NOT EXISTS (
      SELECT FROM public.run_sums_changes AS c WHERE c.at >= d.at AND c.at < d.at + INTERVAL '1 day'
    )
  ORDER BY d.at DESC
  LIMIT 1;
  INSERT INTO public.run_sums_days
  SELECT s.*
  FROM public.merge_run_sums(ARRAY(
    SELECT generate_series(day, day + INTERVAL '1425 minutes', INTERVAL '15 minutes')
  ), false) AS s
  -- Somebody may have noted a change since.
  WHERE NOT EXISTS (SELECT FROM public.run_sums_changes AS c WHERE c.at >= day AND c.at < day + INTERVAL '1 day');
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done;
END
$function$;
COMMENT ON FUNCTION public.fill_run_sums_days() IS
  'Adds the sums of a day up. Returns how many rows they are; for the daemon';

-- All sums are new.

INSERT INTO run_sums_changes (at, noted_at)
SELECT DISTINCT public.quarter_hour(r.started_at), now() FROM agent_runs AS r WHERE r.started_at IS NOT NULL;

CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 3 $function$;

ALTER TABLE run_sums ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_sums_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_sums_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_sums_open ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Readers see sums of what they see" ON run_sums FOR SELECT
  USING (owner = (SELECT public.run_sums_owner()));
CREATE POLICY "Readers see sums of what they see" ON run_sums_days FOR SELECT
  USING (owner = (SELECT public.run_sums_owner()));
CREATE POLICY "Readers see which sums hold" ON run_sums_changes FOR SELECT
  USING ((SELECT public.run_sums_owner()) IS NOT NULL);
CREATE POLICY "Readers see which of their runs no sum has" ON run_sums_open FOR SELECT
  USING ((SELECT public.run_sums_owner()) IN ('00000000-0000-0000-0000-000000000000', owner));

DO $migration$
DECLARE
  helper regprocedure;
  visitor text;
  reader text;
BEGIN
  -- Supabase gives anon and authenticated all rights on every new table, and everybody may call every new function.
  FOREACH helper IN ARRAY ARRAY[
    'public.note_run_sums(uuid[])', 'public.fill_run_sums(bigint, bigint, interval)', 'public.fill_run_sums_days()'
  ]::regprocedure[] LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', helper);
    FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %I', helper, visitor);
    END LOOP;
    -- Roles that were granted what a daemon needs before this migration.
    FOR reader IN
      SELECT DISTINCT r.rolname
      FROM pg_policies AS p, unnest(p.roles) AS granted (name)
      JOIN pg_roles AS r ON r.rolname = granted.name
      WHERE p.schemaname = 'public' AND p.policyname = ('runtraced writes as ' || r.rolname)::name
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', helper, reader);
    END LOOP;
  END LOOP;
  FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
    EXECUTE format('REVOKE ALL ON run_sums, run_sums_days, run_sums_changes, run_sums_open FROM %I', visitor);
  END LOOP;
  -- Roles that could read what statistics are made of.
  FOR reader IN
    SELECT DISTINCT r.rolname
    FROM pg_class AS c, aclexplode(c.relacl) AS granted
    JOIN pg_roles AS r ON r.oid = granted.grantee
    WHERE c.oid = 'public.model_prices'::regclass AND granted.privilege_type = 'SELECT' AND granted.grantee <> c.relowner
  LOOP
    EXECUTE format('GRANT SELECT ON run_sums, run_sums_days, run_sums_changes, run_sums_open TO %I', reader);
  END LOOP;
END
$migration$;
