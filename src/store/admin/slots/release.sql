-- Lets daemons write again. It ends a transaction of swap.sql or cancel.sql.
DROP FUNCTION public.ingest_write_epoch();
ALTER FUNCTION public.ingest_write_epoch_before() RENAME TO ingest_write_epoch;
DROP TABLE public.agent_slot_moves;
