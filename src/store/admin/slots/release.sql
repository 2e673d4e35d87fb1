-- Lets daemons write again. It ends a transaction of swap.sql or cancel.sql.
-- Whoever was granted the right to ask meanwhile keeps it.
DO $rights$
DECLARE
  role text;
BEGIN
  FOR role IN
    SELECT quote_ident(pg_get_userbyid(a.grantee)) FROM pg_catalog.pg_proc AS p, aclexplode(p.proacl) AS a
    WHERE p.oid = 'public.ingest_write_epoch()'::regprocedure AND a.grantee NOT IN (0, p.proowner)
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION public.ingest_write_epoch_before() TO %s', role);
  END LOOP;
END
$rights$;
DROP FUNCTION public.ingest_write_epoch();
ALTER FUNCTION public.ingest_write_epoch_before() RENAME TO ingest_write_epoch;
DROP TABLE public.agent_slot_moves;
