-- Copies the rows of a table that belong to a slot, and notes how many. In the settings `runtraced.slot` and `runtraced.table_name`.
DO $copy$
DECLARE
  slot CONSTANT integer := current_setting('runtraced.slot');
  one CONSTANT text := current_setting('runtraced.table_name');
  place CONSTANT text := 'runtraced_' || lpad(slot::text, 2, '0');
  columns CONSTANT text := (
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = ('public.' || one)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
  copied bigint;
BEGIN
  EXECUTE format('INSERT INTO %1$I.%2$I (%3$s) SELECT %3$s FROM public.%2$I WHERE public.run_slot(%4$s) = %5$s', place, one, columns,
    CASE WHEN one = 'agent_runs' THEN 'id' WHEN one = 'agent_messages' THEN 'coalesce(run_id, session_id)' ELSE 'run_id' END, slot);
  GET DIAGNOSTICS copied = ROW_COUNT;
  INSERT INTO public.agent_slot_moves VALUES (
    (SELECT m.slots FROM public.agent_slot_moves AS m WHERE m.slot = -1), slot, one, copied);
END
$copy$;
