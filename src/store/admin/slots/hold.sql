-- Keeps daemons out while rows move to slots: epoch 0 is that of no daemon. In the setting `runtraced.slots`: how many slots.
-- What it makes stays if the command is interrupted, so that another attempt goes on, and nobody writes meanwhile.
ALTER FUNCTION public.ingest_write_epoch() RENAME TO ingest_write_epoch_before;
CREATE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = '' AS 'SELECT 0';
COMMENT ON FUNCTION public.ingest_write_epoch() IS 'Rows move to slots, and no daemon writes meanwhile.';
-- A daemon's role may ask as before.
GRANT EXECUTE ON FUNCTION public.ingest_write_epoch() TO PUBLIC;

-- Which parts of the move are done.
CREATE TABLE public.agent_slot_moves (
  slots integer NOT NULL,
  slot integer NOT NULL,
  table_name text NOT NULL,
  moved_rows bigint NOT NULL,
  PRIMARY KEY (slot, table_name)
);
COMMENT ON TABLE public.agent_slot_moves IS 'The rows that have been copied to slots; the table is there only while they move.';
ALTER TABLE public.agent_slot_moves ENABLE ROW LEVEL SECURITY;
INSERT INTO public.agent_slot_moves VALUES (current_setting('runtraced.slots')::integer, -1, '', 0);
-- Default privileges may have given others more.
DO $keep$
DECLARE
  role text;
BEGIN
  FOR role IN
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_catalog.pg_class AS c, aclexplode(c.relacl) AS a
    WHERE c.oid = 'public.agent_slot_moves'::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON public.agent_slot_moves FROM %s', role);
  END LOOP;
END
$keep$;
