-- Where the customer tables are: customers, stakeholders, contracts, entitlements, health_scores, usage_metrics,
-- risk_signals, renewal_pipeline and qbrs. They are in the schema public unless `runtraced migrate --schema NAME` moves
-- them, or `--without-customers` leaves them out. Either one replaces the functions that name these tables, so the
-- statements of the daemon and the policies stay as they are.
--
-- A later migration that touches one of these tables asks customers_schema() where it is, and skips it if it is left out.
--
-- Rollback: 0037_customers_schema.down.sql

CREATE FUNCTION public.customers_schema() RETURNS text
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 'public'::text $function$;
COMMENT ON FUNCTION public.customers_schema() IS
  'The schema of the customer tables; NULL: the database has none. Set by `runtraced migrate`';

-- Without settings, so that a statement that calls one of these is planned as if it named the table itself.

CREATE FUNCTION public.known_customer(customer_id uuid) RETURNS TABLE (id uuid, deleted_at timestamptz)
LANGUAGE sql STABLE ROWS 1
AS $function$
  SELECT c.id, c.deleted_at::timestamptz FROM public.customers AS c WHERE c.id = $1
$function$;
COMMENT ON FUNCTION public.known_customer(uuid) IS
  'The customer with this id, if there is one; without customer tables, every id is known';

CREATE FUNCTION public.customer_names() RETURNS TABLE (id uuid, name text)
LANGUAGE sql STABLE
AS $function$
  SELECT c.id, c.name::text FROM public.customers AS c
$function$;
COMMENT ON FUNCTION public.customer_names() IS
  'Names of the customers that the policies let the reader see; none without customer tables';
