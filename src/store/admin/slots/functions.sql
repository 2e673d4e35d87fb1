-- Functions of the layout in slots. prepare.sql runs next.

-- Takes away what default privileges gave to others than the owner.
CREATE FUNCTION public.keep_to_owner(one regclass) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  other record;
BEGIN
  FOR other IN
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS name
    FROM pg_catalog.pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = one AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', one, other.name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.keep_to_owner(regclass) IS 'Revokes the rights of all but the owner on a table.';

-- Gives all rights that there are on one table or view to the same roles on another.
CREATE FUNCTION public.share_as(one regclass, other regclass) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  piece record;
BEGIN
  PERFORM public.keep_to_owner(other);
  FOR piece IN
    SELECT a.privilege_type AS what, NULL::text AS col, a.grantee, a.is_grantable
    FROM pg_catalog.pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a WHERE c.oid = one
    UNION ALL
    SELECT a.privilege_type, t.attname, a.grantee, a.is_grantable
    FROM pg_catalog.pg_attribute AS t, aclexplode(t.attacl) AS a WHERE t.attrelid = one AND NOT t.attisdropped
  LOOP
    EXECUTE format('GRANT %s%s ON %s TO %s%s', piece.what, ' (' || quote_ident(piece.col) || ')', other,
      CASE WHEN piece.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(piece.grantee)) END,
      CASE WHEN piece.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.share_as(regclass, regclass) IS 'Gives the rights on one table or view to the same roles on another.';

-- Gives the rights that there are on the names in `public` on the tables of a slot: whoever reads a view needs them on its tables.
CREATE FUNCTION public.share_slot(place text) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT c.oid, c.relname, c.relnamespace
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = to_regnamespace(quote_ident(place)) AND c.relkind = 'r'
  LOOP
    PERFORM public.share_as(format('public.%I', one.relname)::regclass, one.oid);
  END LOOP;
  FOR one IN
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS name
    FROM pg_catalog.pg_class AS c
    LEFT JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid
    CROSS JOIN LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(t.attacl)) AS a
    WHERE c.relnamespace = to_regnamespace(quote_ident(place)) AND c.relkind = 'r'
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', place, one.name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION public.share_slot(text) IS 'Gives the rights on the names in public to the same roles on the tables of one slot.';

-- For an operator who has granted or revoked rights on a view: the tables follow.
CREATE FUNCTION public.share_slots() RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  PERFORM public.share_slot(s.schema_name) FROM public.agent_slots AS s;
END
$$;
COMMENT ON FUNCTION public.share_slots() IS 'Gives the rights on the names in public to the same roles on the tables of all slots; run it after GRANT and REVOKE.';

-- Writes to the tables of the slots what is written to a view. Arguments: whose slot it is, and the key; both of a row.
CREATE FUNCTION public.write_to_slot() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
  is_key CONSTANT text := (SELECT string_agg(format('t.%1$I = ($1).%1$I', k), ' AND ') FROM unnest(string_to_array(TG_ARGV[1], ' ')) AS k);
  before text;
  after text;
  columns text;
  written text;
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
    -- Only what changes, because a role may have the right to change no more.
    IF columns IS NULL THEN
      RETURN NEW;
    END IF;
    EXECUTE format('UPDATE %I.%I AS t SET (%s) = ROW (%s) WHERE %s RETURNING t.*', after, TG_TABLE_NAME, columns, written, is_key)
      INTO NEW USING OLD, NEW;
    RETURN CASE WHEN NEW IS DISTINCT FROM NULL THEN NEW END;
  END IF;
  IF before IS NOT NULL THEN
    EXECUTE format('DELETE FROM %I.%I AS t WHERE %s', before, TG_TABLE_NAME, is_key) USING OLD;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written = '0' THEN
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
