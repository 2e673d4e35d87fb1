-- Undoes 0031_observed_customer: the daemon of the version before writes by its own rules again.
-- Customers, users and tags that parts of a run told stay where they are.

CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 1 $function$;

DROP FUNCTION IF EXISTS public.observed_metadata(jsonb, boolean);
DROP FUNCTION IF EXISTS public.observed_customer_id(jsonb);
