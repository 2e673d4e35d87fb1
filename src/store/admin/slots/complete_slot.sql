-- Gives the tables of a slot, whose rows are there, what their tables in `public` have: owner, keys, indexes, references, triggers,
-- policies and rights. In the setting `runtraced.slot`.
DO $complete$
DECLARE
  slot CONSTANT integer := current_setting('runtraced.slot');
  place CONSTANT text := 'runtraced_' || lpad(slot::text, 2, '0');
  tables CONSTANT text[] := ARRAY['agent_runs', 'agent_steps', 'agent_messages', 'agent_token_counts', 'agent_scores', 'agent_contents',
    'agent_run_scopes', 'agent_step_aliases'];
  one text;
  old regclass;
  definition text;
  piece record;
BEGIN
  -- So that texts name the schema.
  PERFORM set_config('search_path', '', true);
  FOREACH one IN ARRAY tables LOOP
    old := ('public.' || one)::regclass;
    FOR piece IN
      SELECT k.conname AS name, pg_get_constraintdef(k.oid) AS text FROM pg_catalog.pg_constraint AS k
      WHERE k.conrelid = old AND k.contype = 'p'
    LOOP
      EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', place, one, piece.name, piece.text);
    END LOOP;
    FOR piece IN
      SELECT pg_get_indexdef(i.indexrelid) AS text FROM pg_catalog.pg_index AS i
      WHERE i.indrelid = old AND i.indisvalid
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.conrelid = old)
      ORDER BY i.indexrelid
    LOOP
      EXECUTE replace(piece.text, format(' ON public.%I ', one), format(' ON %I.%I ', place, one));
    END LOOP;
    FOR piece IN
      SELECT pg_get_statisticsobjdef(x.oid) AS text, x.stxname AS name FROM pg_catalog.pg_statistic_ext AS x WHERE x.stxrelid = old
    LOOP
      EXECUTE replace(replace(piece.text, format(' FROM public.%I', one), format(' FROM %I.%I', place, one)),
        'CREATE STATISTICS public.', format('CREATE STATISTICS %I.', place));
    END LOOP;
    IF one IN ('agent_runs', 'agent_messages') THEN
      EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT runtraced_slot CHECK (public.run_slot(%s) = %s)', place, one,
        CASE WHEN one = 'agent_runs' THEN 'id' ELSE 'coalesce(run_id, session_id)' END, slot);
    END IF;
  END LOOP;
  FOREACH one IN ARRAY tables LOOP
    old := ('public.' || one)::regclass;
    FOR piece IN
      SELECT k.conname AS name, pg_get_constraintdef(k.oid) AS text FROM pg_catalog.pg_constraint AS k
      WHERE k.conrelid = old AND k.contype = 'f' ORDER BY k.conname
    LOOP
      -- A reference to a run is to one of the same slot.
      EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', place, one, piece.name,
        replace(piece.text, 'REFERENCES public.agent_runs(', format('REFERENCES %I.agent_runs(', place)));
    END LOOP;
    FOR piece IN
      SELECT g.tgname AS name, pg_get_triggerdef(g.oid) AS text, g.tgenabled AS fires FROM pg_catalog.pg_trigger AS g
      WHERE g.tgrelid = old AND NOT g.tgisinternal AND g.tgname <> 'refuse_while_moving' ORDER BY g.tgname
    LOOP
      EXECUTE replace(replace(piece.text, format(' ON public.%I ', one), format(' ON %I.%I ', place, one)),
        format('''public.%I''::regclass', one), format('''%I.%I''::regclass', place, one));
      IF piece.fires <> 'O' THEN
        EXECUTE format('ALTER TABLE %I.%I %s TRIGGER %I', place, one,
          CASE piece.fires WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, piece.name);
      END IF;
    END LOOP;
    FOR piece IN
      SELECT p.polname AS name, p.polpermissive AS permissive, p.polcmd,
             (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) AS r) AS roles,
             pg_get_expr(p.polqual, p.polrelid) AS seen, pg_get_expr(p.polwithcheck, p.polrelid) AS written
      FROM pg_catalog.pg_policy AS p WHERE p.polrelid = old ORDER BY p.polname
    LOOP
      definition := format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s', piece.name, place, one,
        CASE WHEN piece.permissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE piece.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        piece.roles);
      EXECUTE definition || coalesce(' USING (' || piece.seen || ')', '') || coalesce(' WITH CHECK (' || piece.written || ')', '');
    END LOOP;
    IF (SELECT c.relforcerowsecurity FROM pg_catalog.pg_class AS c WHERE c.oid = old) THEN
      EXECUTE format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', place, one);
    END IF;
    SELECT array_to_string(c.reloptions, ', ') AS options, c.relreplident AS identity, pg_get_userbyid(c.relowner) AS owner INTO piece
    FROM pg_catalog.pg_class AS c WHERE c.oid = old;
    IF piece.options <> '' THEN
      EXECUTE format('ALTER TABLE %I.%I SET (%s)', place, one, piece.options);
    END IF;
    FOR definition IN
      SELECT format('ALTER COLUMN %I SET STATISTICS %s', a.attname, a.attstattarget) FROM pg_catalog.pg_attribute AS a
      WHERE a.attrelid = old AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
      UNION ALL
      SELECT format('ALTER COLUMN %I SET (%s)', a.attname, array_to_string(a.attoptions, ', ')) FROM pg_catalog.pg_attribute AS a
      WHERE a.attrelid = old AND a.attnum > 0 AND NOT a.attisdropped AND a.attoptions IS NOT NULL
      UNION ALL
      SELECT format('SET (%s)', (SELECT string_agg('toast.' || o, ', ') FROM unnest(t.reloptions) AS o)) FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid AND t.reloptions IS NOT NULL WHERE c.oid = old
    LOOP
      EXECUTE format('ALTER TABLE %I.%I %s', place, one, definition);
    END LOOP;
    IF piece.identity IN ('f', 'n') THEN
      EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY %s', place, one, CASE piece.identity WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END);
    END IF;
    EXECUTE format('ALTER SCHEMA %I OWNER TO %I', place, piece.owner);
    EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', place, one, piece.owner);
    EXECUTE format('ANALYZE %I.%I', place, one);
  END LOOP;
  PERFORM public.share_slot(place);
  INSERT INTO public.agent_slot_moves VALUES (
    (SELECT m.slots FROM public.agent_slot_moves AS m WHERE m.slot = -1), slot, '', 0);
END
$complete$;
