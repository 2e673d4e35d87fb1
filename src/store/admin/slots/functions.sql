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
  FOR one IN SELECT c.oid, c.relname FROM pg_catalog.pg_class AS c WHERE c.relnamespace = space AND c.relkind = 'r' LOOP
    PERFORM public.share_as(format('public.%I', one.relname)::regclass, one.oid);
  END LOOP;
  FOR one IN
    SELECT u.may_use, CASE WHEN u.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.grantee)) END AS role
    FROM (
      SELECT h.grantee, bool_or(h.needs) AS may_use
      FROM (
        SELECT r.grantee, true AS needs, false AS has
        FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL public.rights_on(c.oid) AS r WHERE c.relnamespace = space AND c.relkind = 'r'
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

-- Writes to the tables of the slots what is written to a view. Arguments: whose slot it is, and the key; both of a row.
CREATE FUNCTION public.write_to_slot() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  is_key CONSTANT text := (SELECT string_agg(format('t.%1$I = ($1).%1$I', k), ' AND ') FROM unnest(string_to_array(TG_ARGV[1], ' ')) AS k);
  before text;
  after text;
  columns text;
  written text;
  rows bigint;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    EXECUTE format('SELECT format(''runtraced_%%s'', lpad(public.run_slot(%s)::text, 2, ''0'')) FROM (SELECT ($1).*) AS r', TG_ARGV[0])
      INTO before USING OLD;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    EXECUTE format('SELECT format(''runtraced_%%s'', lpad(public.run_slot(%s)::text, 2, ''0'')) FROM (SELECT ($1).*) AS r', TG_ARGV[0])
      INTO after USING NEW;
  END IF;
  IF before = after THEN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), string_agg(format('($2).%I', a.attname), ', ' ORDER BY a.attnum)
    INTO columns, written
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = format('%I.%I', after, TG_TABLE_NAME)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND public.differ_in(OLD, NEW, a.attname);
    -- Only what changes, because a role may have the right to change no more. If nothing does, the policies are asked even so.
    IF columns IS NULL THEN
      columns := quote_ident(split_part(TG_ARGV[1], ' ', 1));
      written := '($1).' || columns;
    END IF;
    EXECUTE format('UPDATE %I.%I AS t SET (%s) = ROW (%s) WHERE %s RETURNING t.*', after, TG_TABLE_NAME, columns, written, is_key)
      INTO NEW USING OLD, NEW;
    GET DIAGNOSTICS rows = ROW_COUNT;
    -- A row that a policy does not let change is not counted.
    RETURN CASE WHEN rows > 0 THEN NEW END;
  END IF;
  IF before IS NOT NULL THEN
    EXECUTE format('DELETE FROM %I.%I AS t WHERE %s', before, TG_TABLE_NAME, is_key) USING OLD;
    GET DIAGNOSTICS rows = ROW_COUNT;
    IF rows = 0 THEN
      RETURN NULL;
    END IF;
  END IF;
  IF after IS NOT NULL THEN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), string_agg(format('($1).%I', a.attname), ', ' ORDER BY a.attnum)
    INTO columns, written
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = format('%I.%I', after, TG_TABLE_NAME)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    EXECUTE format('INSERT INTO %I.%I AS t (%s) SELECT %s RETURNING t.*', after, TG_TABLE_NAME, columns, written) INTO NEW USING NEW;
    RETURN NEW;
  END IF;
  RETURN OLD;
END
$$;
COMMENT ON FUNCTION public.write_to_slot() IS 'Writes to the table of a slot what is written to a view.';

-- Numbers and times differ also where only their texts do.
CREATE FUNCTION public.differ_in(one anyelement, other anyelement, name text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS $$
DECLARE
  differ boolean;
BEGIN
  EXECUTE format('SELECT ($1).%1$I::text IS DISTINCT FROM ($2).%1$I::text', name) INTO differ USING one, other;
  RETURN differ;
END
$$;
COMMENT ON FUNCTION public.differ_in(anyelement, anyelement, text) IS 'Whether two rows differ in a column.';
