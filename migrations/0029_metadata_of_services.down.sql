-- Undoes 0029_metadata_of_services: a run keeps the metadata of one service. Metadata that rows
-- show stay.

UPDATE agent_runs SET observed = observed - 'services' WHERE observed ? 'services';

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
        ORDER BY
          e.key,
          (e.value ->> 0)::integer,
          CASE WHEN e.key IN ('output', 'outcome') THEN -(e.value ->> 1)::bigint ELSE (e.value ->> 1)::bigint END,
          (CASE WHEN e.key IN ('output', 'outcome') THEN e.value ->> 2 END) COLLATE "C" DESC,
          (e.value ->> 2) COLLATE "C"
      ) AS best
    )
  END
$function$;

DROP FUNCTION IF EXISTS public.merge_services(jsonb, jsonb);
