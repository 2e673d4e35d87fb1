-- What parts of a run tell of its customer, its user and its tags: fields of agent_runs.observed
-- like the others. This changes how events merge, so the write epoch is the next one.
--
-- Rollback: 0031_observed_customer.down.sql

CREATE FUNCTION public.observed_customer_id(observed jsonb) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN observed #>> '{customer,2}' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      THEN (observed #>> '{customer,2}')::uuid
  END
$function$;

COMMENT ON FUNCTION public.observed_customer_id(jsonb) IS
  'The customer in a value of agent_runs.observed, if it is an id; for the daemon';

CREATE FUNCTION public.observed_metadata(observed jsonb, customer_is_unknown boolean) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
  -- The metadata may be much, and each change of it is a copy: so one object is added.
  SELECT nullif(
    CASE
      WHEN observed #>> '{metadata,2}' LIKE '%"unresolved_customer_id"%'
        THEN (observed #>> '{metadata,2}')::jsonb - 'unresolved_customer_id'
      ELSE coalesce((observed #>> '{metadata,2}')::jsonb, '{}')
    END || (
      CASE
        WHEN observed ? 'services' THEN jsonb_build_object('services', (
          SELECT jsonb_object_agg(s.key, (s.value ->> 2)::jsonb) FROM jsonb_each(observed -> 'services') AS s
          WHERE s.value ->> 2 IS DISTINCT FROM observed #>> '{metadata,2}'))
        ELSE '{}'
      END
      || CASE WHEN observed ? 'user' THEN jsonb_build_object('user', observed #>> '{user,2}') ELSE '{}' END
      || CASE WHEN observed ? 'tags' THEN jsonb_build_object('tags', (observed #>> '{tags,2}')::jsonb) ELSE '{}' END
      || CASE
           WHEN customer_is_unknown AND observed ? 'customer'
             THEN jsonb_build_object('unresolved_customer_id', observed #>> '{customer,2}')
           ELSE '{}'
         END
    ),
    '{}'
  )
$function$;

COMMENT ON FUNCTION public.observed_metadata(jsonb, boolean) IS
  'What agent_runs.metadata shows of a value of agent_runs.observed; for the daemon';

CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 2 $function$;
