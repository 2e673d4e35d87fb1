-- Functions of the layout in slots. prepare.sql runs next.

-- All rights that there are on a table or a view, but those of its owner.
CREATE FUNCTION public.rights_on(one regclass) RETURNS TABLE (what text, col name, grantee oid, is_grantable boolean)
LANGUAGE sql STABLE SET search_path = '' AS $$
  SELECT a.privilege_type, NULL, a.grantee, a.is_grantable
  FROM pg_catalog.pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = $1 AND a.grantee <> c.relowner
  UNION
  SELECT a.privilege_type, t.attname, a.grantee, a.is_grantable
  FROM pg_catalog.pg_attribute AS t, aclexplode(t.attacl) AS a WHERE t.attrelid = $1 AND NOT t.attisdropped
$$;
COMMENT ON FUNCTION public.rights_on(regclass) IS 'The rights on a table or view, but those of its owner.';

-- Takes away what default privileges gave to others than the owner.
CREATE FUNCTION public.keep_to_owner(one regclass) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  role text;
BEGIN
  FOR role IN
    SELECT DISTINCT CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END FROM public.rights_on(one) AS r
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', one, role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.keep_to_owner(regclass) IS 'Revokes the rights of all but the owner on a table.';

-- Gives the roles that have rights on one table or view the same rights on another, and takes away all other rights on that.
CREATE FUNCTION public.share_as(one regclass, other regclass) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  piece record;
BEGIN
  FOR piece IN
    SELECT h.*, CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(h.grantee)) END AS role,
           coalesce(' (' || quote_ident(h.col) || ')', '') AS columns
    FROM (SELECT * FROM public.rights_on(other) EXCEPT SELECT * FROM public.rights_on(one)) AS h
  LOOP
    EXECUTE format('REVOKE %s%s ON %s FROM %s', piece.what, piece.columns, other, piece.role);
  END LOOP;
  FOR piece IN
    SELECT h.*, CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(h.grantee)) END AS role,
           coalesce(' (' || quote_ident(h.col) || ')', '') AS columns
    FROM (SELECT * FROM public.rights_on(one) EXCEPT SELECT * FROM public.rights_on(other)) AS h
  LOOP
    EXECUTE format('GRANT %s%s ON %s TO %s%s', piece.what, piece.columns, other, piece.role,
      CASE WHEN piece.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.share_as(regclass, regclass) IS 'Gives the rights on one table or view to the same roles on another.';

-- Gives the rights that there are on the names in `public` on the tables of a slot: whoever reads a view needs them on its tables.
CREATE FUNCTION public.share_slot(place text) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  space CONSTANT regnamespace := quote_ident(place)::regnamespace;
  one record;
BEGIN
  -- Types are exact: otherwise a function of somebody else with the same name might fit better.
  FOR one IN
    SELECT v.oid::regclass AS shown, c.oid::regclass AS below
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_class AS v ON v.relname = c.relname AND v.relnamespace = 'public'::regnamespace AND v.relowner = c.relowner
    WHERE c.relnamespace = space AND c.relkind = 'r'
  LOOP
    PERFORM public.share_as(one.shown, one.below);
  END LOOP;
  FOR one IN
    SELECT u.may_use, CASE WHEN u.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.grantee)) END AS role
    FROM (
      SELECT h.grantee, bool_or(h.needs) AS may_use
      FROM (
        SELECT r.grantee, true AS needs, false AS has
        FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL public.rights_on(c.oid::regclass) AS r WHERE c.relnamespace = space AND c.relkind = 'r'
        UNION ALL
        SELECT a.grantee, false, true
        FROM pg_catalog.pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE n.oid = space AND a.grantee <> n.nspowner
      ) AS h
      GROUP BY h.grantee
      HAVING bool_or(h.needs) <> bool_or(h.has)
    ) AS u
  LOOP
    EXECUTE format(CASE WHEN one.may_use THEN 'GRANT USAGE ON SCHEMA %I TO %s' ELSE 'REVOKE ALL ON SCHEMA %I FROM %s' END, place, one.role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.share_slot(text) IS 'Gives the rights on the names in public to the same roles on the tables of one slot.';

CREATE FUNCTION public.share_slots() RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  PERFORM public.share_slot(s.schema_name) FROM public.agent_slots AS s;
END
$$;
COMMENT ON FUNCTION public.share_slots() IS
  'Gives the rights on the names in public to the same roles on the tables of all slots. Run it after GRANT and REVOKE, unless there is the event trigger runtraced_share_slots.';

-- Follows GRANT and REVOKE, where the owner may make event triggers.
CREATE FUNCTION public.follow_grants() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  -- What it grants fires the trigger again.
  IF current_setting('runtraced.shares', true) IS DISTINCT FROM 'on' THEN
    PERFORM set_config('runtraced.shares', 'on', true);
    PERFORM public.share_slots();
    PERFORM set_config('runtraced.shares', 'off', true);
  END IF;
END
$$;
COMMENT ON FUNCTION public.follow_grants() IS 'Calls share_slots() after GRANT and REVOKE.';
-- It has no more rights than the owner of the tables, whoever makes it.
DO $owner$
BEGIN
  EXECUTE format('ALTER FUNCTION public.follow_grants() OWNER TO %I',
    (SELECT pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class AS c WHERE c.oid = 'public.agent_runs'::regclass));
END
$owner$;

-- Writes to the tables of the slots what is written to a view, row by row. Arguments: whose slot it is, and the key; both of a row.
CREATE FUNCTION public.write_to_slot() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  slot_of CONSTANT text := format('SELECT format(''runtraced_%%s'', lpad(public.run_slot(%s)::text, 2, ''0'')) FROM (SELECT ($1).*) AS r', TG_ARGV[0]);
  is_key CONSTANT text := (SELECT string_agg(format('t.%1$I = ($1).%1$I', k), ' AND ') FROM unnest(string_to_array(TG_ARGV[1], ' ')) AS k);
  names text[];
  generated boolean[];
  defaults boolean[];
  before text;
  after text;
  current record;
  wanted boolean[];
  affected bigint;
BEGIN
  SELECT array_agg(a.attname::text ORDER BY a.attnum), array_agg(a.attgenerated <> '' ORDER BY a.attnum), array_agg(a.atthasdef ORDER BY a.attnum)
  INTO names, generated, defaults
  FROM pg_catalog.pg_attribute AS a
  -- The views have the columns of the tables, in their order. Only the tables know which ones are generated.
  WHERE a.attrelid = format('runtraced_00.%I', TG_TABLE_NAME)::regclass AND a.attnum > 0 AND NOT a.attisdropped;
  IF TG_OP <> 'INSERT' THEN
    EXECUTE slot_of INTO before USING OLD;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    EXECUTE slot_of INTO after USING NEW;
  END IF;

  IF before = after THEN
    EXECUTE format('SELECT t.* FROM %I.%I AS t WHERE %s FOR UPDATE', after, TG_TABLE_NAME, is_key) INTO current USING OLD;
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected = 0 THEN
      RETURN NULL; -- Somebody deleted it, or a policy does not let it change.
    END IF;
    PERFORM public.refuse_if_changed(current, OLD);
    EXECUTE (SELECT format('SELECT ARRAY[%s]', string_agg(format('($1).%1$I::text IS DISTINCT FROM ($2).%1$I::text', n), ', ' ORDER BY at))
             FROM unnest(names) WITH ORDINALITY AS u (n, at)) INTO wanted USING OLD, NEW;
    IF NOT true = ANY (wanted) THEN
      RETURN NEW;
    END IF;
    PERFORM public.refuse_generated(TG_TABLE_NAME::text, names, wanted, generated);
    -- Only what changes, because a role may have the right to change no more.
    EXECUTE (SELECT format('UPDATE %I.%I AS t SET (%s) = ROW (%s) WHERE %s RETURNING t.*', after, TG_TABLE_NAME,
                           string_agg(quote_ident(n), ', ' ORDER BY at), string_agg(format('($2).%I', n), ', ' ORDER BY at), is_key)
             FROM unnest(names) WITH ORDINALITY AS u (n, at) WHERE wanted[at]) INTO NEW USING OLD, NEW;
    GET DIAGNOSTICS affected = ROW_COUNT;
    RETURN CASE WHEN affected > 0 THEN NEW END;
  END IF;

  IF before IS NOT NULL THEN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'agent_runs' THEN
      RAISE feature_not_supported USING MESSAGE = 'the id of a run cannot change: the run would be in another slot';
    END IF;
    EXECUTE format('DELETE FROM %I.%I AS t WHERE %s RETURNING t.*', before, TG_TABLE_NAME, is_key) INTO current USING OLD;
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected = 0 THEN
      RETURN NULL;
    END IF;
    PERFORM public.refuse_if_changed(current, OLD);
  END IF;
  IF after IS NULL THEN
    RETURN OLD;
  END IF;
  EXECUTE (SELECT format('SELECT ARRAY[%s]', string_agg(format('($1).%I IS NOT NULL', n), ', ' ORDER BY at))
           FROM unnest(names) WITH ORDINALITY AS u (n, at)) INTO wanted USING NEW;
  IF TG_OP = 'INSERT' THEN
    PERFORM public.refuse_generated(TG_TABLE_NAME::text, names, wanted, generated);
  END IF;
  -- Without what is NULL anyway, because a role may have the right to insert no more.
  EXECUTE (SELECT format('INSERT INTO %I.%I (%s) SELECT %s', after, TG_TABLE_NAME,
                         string_agg(quote_ident(n), ', ' ORDER BY at), string_agg(format('($1).%I', n), ', ' ORDER BY at))
           FROM unnest(names) WITH ORDINALITY AS u (n, at) WHERE NOT generated[at] AND (wanted[at] OR defaults[at])) USING NEW;
  GET DIAGNOSTICS affected = ROW_COUNT;
  IF affected = 0 AND TG_OP = 'UPDATE' THEN
    RAISE triggered_action_exception USING MESSAGE = format('a trigger on %s keeps the row from moving to another slot', TG_TABLE_NAME);
  ELSIF affected = 0 THEN
    RETURN NULL;
  END IF;
  -- What triggers and generated columns made of it. Who may not see it goes without.
  IF has_table_privilege(format('%I.%I', after, TG_TABLE_NAME), 'SELECT') THEN
    EXECUTE format('SELECT t.* FROM %I.%I AS t WHERE %s', after, TG_TABLE_NAME, is_key) INTO current USING NEW;
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected = 1 THEN
      NEW := current;
    END IF;
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION public.write_to_slot() IS 'Writes to the table of a slot what is written to a view.';

-- A statement on a table would look once more whether a row that has changed meanwhile is still meant. A trigger cannot.
CREATE FUNCTION public.refuse_if_changed(stored record, seen record) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  IF stored OPERATOR(pg_catalog.*<>) seen THEN
    RAISE serialization_failure USING MESSAGE = 'could not serialize access due to concurrent update';
  END IF;
END
$$;
COMMENT ON FUNCTION public.refuse_if_changed(record, record) IS 'Raises a serialization failure if a row has changed.';

CREATE FUNCTION public.refuse_generated(of_table text, names text[], written boolean[], generated boolean[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS $$
DECLARE
  name CONSTANT text := (SELECT n FROM unnest($2, $3, $4) AS u (n, written, generated) WHERE u.written AND u.generated LIMIT 1);
BEGIN
  IF name IS NOT NULL THEN
    RAISE generated_always USING MESSAGE = format('column %I of %I is generated, and cannot be written', name, of_table);
  END IF;
END
$$;
COMMENT ON FUNCTION public.refuse_generated(text, text[], boolean[], boolean[]) IS 'Raises an error if a generated column is written.';

-- Default privileges may give functions to nobody. These are called with the rights of whoever writes to a view.
GRANT EXECUTE ON FUNCTION public.refuse_if_changed(record, record), public.refuse_generated(text, text[], boolean[], boolean[]) TO PUBLIC;
