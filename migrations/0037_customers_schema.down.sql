-- Undoes 0037_customers_schema.up.sql. The migrations before it know the customer tables only in the schema public.

DO $migration$
BEGIN
  IF public.customers_schema() IS NULL THEN
    RAISE EXCEPTION 'the customer tables are left out of this database: there is no way back';
  ELSIF public.customers_schema() <> 'public' THEN
    RAISE EXCEPTION 'the customer tables are in the schema %: first run `runtraced migrate --schema public`',
      public.customers_schema();
  END IF;
END
$migration$;

DROP FUNCTION public.customer_names();
DROP FUNCTION public.known_customer(uuid);
DROP FUNCTION public.customers_schema();
