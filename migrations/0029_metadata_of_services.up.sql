-- Spans of several services may make one run. agent_runs.metadata shows the resource of one
-- service; those of the others are now kept with it, under the key services.
--
-- The function merge_observed keeps its result for all that older daemons sent.
--
-- Rollback: 0029_metadata_of_services.down.sql

CREATE FUNCTION public.merge_services(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  WITH told AS (
    -- Longer metadata would cost too much to parse; it names no service.
    -- Only a text is a name.
    SELECT CASE WHEN jsonb_typeof(n.name) = 'string' THEN n.name #>> '{}' END AS service, m.value, true AS shown
    FROM (VALUES (a -> 'metadata'), (b -> 'metadata')) AS m (value)
    CROSS JOIN LATERAL (
      SELECT CASE
               WHEN octet_length(m.value ->> 2) <= 65536
               THEN (m.value ->> 2)::jsonb #> '{resource,service.name}'
             END AS name
    ) AS n
    WHERE m.value IS NOT NULL
    UNION ALL
    SELECT s.key, s.value, false
    FROM (SELECT * FROM jsonb_each(a -> 'services') UNION ALL SELECT * FROM jsonb_each(b -> 'services')) AS s
  ),
  best AS (
    -- The names decide which services are kept, so that the order of the observations does not.
    SELECT DISTINCT ON (told.service COLLATE "C") told.service, told.value
    FROM told
    WHERE told.service IS NOT NULL
    ORDER BY told.service COLLATE "C", (told.value ->> 0)::integer, (told.value ->> 1)::bigint,
             (told.value ->> 2) COLLATE "C"
    LIMIT 32
  )
  SELECT CASE
           WHEN bool_or(best.service IS DISTINCT FROM shown.service)
             THEN jsonb_build_object('services', jsonb_object_agg(best.service, best.value))
           ELSE '{}'
         END
  FROM best
  CROSS JOIN (
    SELECT told.service FROM told WHERE told.shown
    ORDER BY (told.value ->> 0)::integer, (told.value ->> 1)::bigint, (told.value ->> 2) COLLATE "C"
    LIMIT 1
  ) AS shown
$function$;
COMMENT ON FUNCTION public.merge_services(jsonb, jsonb) IS
  'The services of two values of agent_runs.observed, for merge_observed: an object with the key services, or an empty one';

-- What two sets of observations have together: field by field the least rank, then the
-- earliest, then the least value by its bytes; of output and outcome the latest and the
-- greatest. services holds, by name, the best metadata of each service, of the first 32 names, if
-- there is another one than the one that metadata describes.
CREATE OR REPLACE FUNCTION public.merge_observed(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN a IS NULL THEN b
    WHEN b IS NULL THEN a
    ELSE (
      SELECT jsonb_object_agg(best.key, best.value)
      FROM (
        SELECT DISTINCT ON (e.key) e.key, e.value
        FROM (SELECT * FROM jsonb_each(a) UNION ALL SELECT * FROM jsonb_each(b)) AS e
        WHERE e.key <> 'services'
        ORDER BY
          e.key,
          (e.value ->> 0)::integer,
          CASE WHEN e.key IN ('output', 'outcome') THEN -(e.value ->> 1)::bigint ELSE (e.value ->> 1)::bigint END,
          (CASE WHEN e.key IN ('output', 'outcome') THEN e.value ->> 2 END) COLLATE "C" DESC,
          (e.value ->> 2) COLLATE "C"
      ) AS best
    ) || CASE
      WHEN a ? 'services' OR b ? 'services' OR (a #>> '{metadata,2}') <> (b #>> '{metadata,2}')
      THEN public.merge_services(a, b) ELSE '{}' END
  END
$function$;
