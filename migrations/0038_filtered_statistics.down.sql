-- Undoes 0038_filtered_statistics. All sums can be made again from the runs, so nothing is lost.

TRUNCATE run_sums, run_sums_days;

DROP INDEX idx_run_sums_owner;
DROP INDEX idx_run_sums_days_owner;
ALTER TABLE run_sums DROP COLUMN called, DROP COLUMN status;
ALTER TABLE run_sums_days DROP COLUMN called, DROP COLUMN status;
CREATE INDEX idx_run_sums_owner ON run_sums(owner, part, at);
CREATE INDEX idx_run_sums_days_owner ON run_sums_days(owner, part, at);

DO $migration$
DECLARE
  sums text;
BEGIN
  FOREACH sums IN ARRAY ARRAY['run_sums', 'run_sums_days'] LOOP
    EXECUTE format('COMMENT ON COLUMN %I.part IS %L', sums,
      'What is summed up: points (all together), runs (by agent), calls (token counts, by agent and model), accounts (costs, by session, customer and user), tools, errors');
    EXECUTE format('COMMENT ON COLUMN %I.agent_id IS %L', sums, 'Of runs and calls: the agent');
  END LOOP;
END
$migration$;

DROP FUNCTION public.run_sums_between(timestamptz, timestamptz, text, boolean, text[], text, text[]);
DROP FUNCTION public.run_sums_of(uuid[], text, interval, boolean);

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

CREATE OR REPLACE FUNCTION public.merge_run_sums(quarters timestamptz[], as_points boolean) RETURNS SETOF public.run_sums
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

CREATE OR REPLACE FUNCTION public.fill_run_sums(most_runs bigint, densest bigint, quiet interval) RETURNS bigint
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

CREATE OR REPLACE FUNCTION public.fill_run_sums_days() RETURNS bigint
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

INSERT INTO run_sums_changes (at, noted_at)
SELECT DISTINCT public.quarter_hour(r.started_at), now() FROM agent_runs AS r WHERE r.started_at IS NOT NULL;

CREATE OR REPLACE VIEW agent_token_costs WITH (security_invoker = true) AS
SELECT
  c.id,
  c.run_id,
  c.step_id,
  used.model,
  c.created_at,
  c.input,
  c.output,
  c.cache_read,
  c.cache_write,
  c.reasoning,
  -- A call that tells no tokens costs something, but nobody knows what.
  CASE WHEN p.priced AND num_nonnulls(c.input, c.output, c.cache_read, c.cache_write, c.reasoning) > 0 THEN (
    greatest(c_input - c_cache_read - c_cache_write, 0) * p.input
    + c_cache_read * coalesce(p.cache_read, p.input)
    + c_cache_write * coalesce(p.cache_write, p.input)
    + greatest(c_output - c_reasoning, 0) * p.output
    + least(c_reasoning, c_output) * coalesce(p.reasoning, p.output)
  ) / 1000000 END AS cost_usd,
  (SELECT public.reported_cost(s.metadata) FROM agent_steps AS s WHERE s.id = c.step_id) AS cost_reported_usd,
  p.source AS price_source,
  p.priced_as
FROM agent_token_counts AS c
CROSS JOIN LATERAL (
  SELECT
    coalesce(c.model, (SELECT s.model FROM agent_steps AS s WHERE s.id = c.step_id)) AS model,
    coalesce(c.input, 0)::numeric AS c_input,
    coalesce(c.output, 0)::numeric AS c_output,
    coalesce(c.cache_read, 0)::numeric AS c_cache_read,
    coalesce(c.cache_write, 0)::numeric AS c_cache_write,
    coalesce(c.reasoning, 0)::numeric AS c_reasoning
) AS used
CROSS JOIN LATERAL (
  SELECT CASE WHEN used.model IN (SELECT public.models_with_keys())
    THEN public.price_key(used.model, c.step_id)
    ELSE used.model
  END AS key
) AS named
LEFT JOIN LATERAL (
  SELECT
    m.source,
    m.priced_as,
    -- What has no price and was not used costs nothing.
    coalesce(m.input, CASE WHEN used.c_input = 0 THEN 0 END) AS input,
    coalesce(m.output, CASE WHEN used.c_output = 0 THEN 0 END) AS output,
    m.cache_read,
    m.cache_write,
    m.reasoning,
    num_nonnulls(m.input, m.output, m.cache_read, m.cache_write, m.reasoning) > 0 AS priced
  FROM model_prices AS m
  WHERE m.model = named.key AND m.valid_from <= c.created_at AND m.above_input_tokens < greatest(used.c_input, 1)
  ORDER BY m.source = 'operator' DESC, m.valid_from DESC, m.above_input_tokens DESC
  LIMIT 1
) AS p ON true
WHERE NOT c.rollup;
