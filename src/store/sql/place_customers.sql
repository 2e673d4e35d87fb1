-- Moves the customer tables and their views to the schema in the setting `runtraced.customers_schema`, or leaves them out
-- if `runtraced.without_customers` is on. customers_schema() says it from then on. Run it as the owner. It changes nothing if they are there.
-- If `runtraced.only_check` is on, it changes and locks nothing, and only fails as it would.
DO $place$
DECLARE
  wanted CONSTANT text := CASE
    WHEN NOT current_setting('runtraced.without_customers')::boolean THEN current_setting('runtraced.customers_schema')
  END;
  present CONSTANT text := public.customers_schema();
  only_check CONSTANT boolean := coalesce(current_setting('runtraced.only_check', true) = 'on', false);
  mark CONSTANT text := '[created by runtraced]';
  -- In this order they can be dropped.
  views CONSTANT text[] := ARRAY['upcoming_renewals', 'customers_at_risk', 'customer_health'];
  tables CONSTANT text[] := ARRAY[
    'qbrs', 'renewal_pipeline', 'risk_signals', 'usage_metrics', 'health_scores', 'entitlements', 'contracts',
    'stakeholders', 'customers'
  ];
  one text;
  part text;
  body text;
  reference record;
  filled boolean;
BEGIN
  IF wanted IS NOT DISTINCT FROM present THEN
    RETURN;
  ELSIF present IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE =
      'the customer tables are left out of this database, and are not made again; migrate a new database';
  END IF;

  FOREACH one IN ARRAY tables LOOP
    -- Only who is alone with a table knows that it stays empty.
    IF NOT only_check THEN
      EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', present, one);
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I)', present, one) INTO filled;
    IF coalesce(obj_description(format('%I.%I', present, one)::regclass, 'pg_class'), '') NOT LIKE '%' || mark THEN
      RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format(
        'the table %I.%I is not one that runtraced created, so it stays; migrate another database', present, one);
    ELSIF filled AND wanted IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format(
        'the table %I.%I has rows, so it cannot be left out; delete them, or give the tables a --schema', present, one);
    END IF;
  END LOOP;
  IF only_check THEN
    RETURN;
  END IF;

  IF wanted IS NULL THEN
    FOREACH one IN ARRAY views LOOP
      EXECUTE format('DROP VIEW %I.%I', present, one);
    END LOOP;
    FOR reference IN
      -- agent_runs may be in slots.
      SELECT k.conname, k.conrelid::regclass AS of_table
      FROM pg_constraint AS k
      JOIN pg_class AS c ON c.oid = k.conrelid
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE k.contype = 'f' AND k.confrelid = format('%I.customers', present)::regclass
        AND (n.nspname = 'public' AND c.relname IN ('agent_sessions', 'agent_runs', 'ingest_keys')
             OR n.nspname ~ '^runtraced_\d\d$' AND c.relname = 'agent_runs')
    LOOP
      EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', reference.of_table, reference.conname);
    END LOOP;
    FOREACH one IN ARRAY tables LOOP
      EXECUTE format('DROP TABLE %I.%I', present, one);
    END LOOP;

    -- Policies of the traces call the first, those of sessions the second.
    CREATE OR REPLACE FUNCTION public.owns_customer(customer_id uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $function$ SELECT false $function$;
    CREATE OR REPLACE FUNCTION public.sees_customer(customer_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = ''
    AS $function$ BEGIN RETURN false; END $function$;
    CREATE OR REPLACE FUNCTION public.known_customer(customer_id uuid) RETURNS TABLE (id uuid, deleted_at timestamptz)
    LANGUAGE sql STABLE ROWS 1
    AS $function$ SELECT $1, NULL::timestamptz WHERE $1 IS NOT NULL $function$;
    CREATE OR REPLACE FUNCTION public.customer_names() RETURNS TABLE (id uuid, name text)
    LANGUAGE sql STABLE
    AS $function$ SELECT NULL::uuid, NULL::text WHERE false $function$;
    DROP FUNCTION public.owns_contract(uuid);
  ELSE
    IF to_regnamespace(quote_ident(wanted)) IS NULL THEN
      EXECUTE format('CREATE SCHEMA %I', wanted);
      EXECUTE format('COMMENT ON SCHEMA %I IS %L', wanted, 'The customer tables ' || mark);
    END IF;
    FOREACH one IN ARRAY tables LOOP
      EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', present, one, wanted);
    END LOOP;
    FOREACH one IN ARRAY views LOOP
      EXECUTE format('ALTER VIEW %I.%I SET SCHEMA %I', present, one, wanted);
    END LOOP;
    -- Policies, views and foreign keys follow by themselves; the texts of functions do not.
    FOREACH one IN ARRAY ARRAY[
      'owns_customer(uuid)', 'owns_contract(uuid)', 'sees_customer(uuid)', 'known_customer(uuid)', 'customer_names()'
    ] LOOP
      body := pg_get_functiondef(('public.' || one)::regprocedure);
      FOREACH part IN ARRAY tables LOOP
        body := replace(body, format(' %I.%I ', present, part), format(' %I.%I ', wanted, part));
      END LOOP;
      EXECUTE body;
    END LOOP;
    -- Who could read or write a table there can do so here.
    FOR one IN
      SELECT DISTINCT coalesce(quote_ident(r.rolname), 'PUBLIC')
      FROM (
        SELECT relowner, relacl AS rights FROM pg_class WHERE relnamespace = quote_ident(wanted)::regnamespace
        UNION ALL
        SELECT c.relowner, a.attacl FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = quote_ident(wanted)::regnamespace
      ) AS given
      CROSS JOIN aclexplode(given.rights) AS e
      LEFT JOIN pg_roles AS r ON r.oid = e.grantee
      WHERE wanted <> 'public' AND e.grantee <> given.relowner
    LOOP
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', wanted, one);
    END LOOP;
  END IF;

  EXECUTE format(
    'CREATE OR REPLACE FUNCTION public.customers_schema() RETURNS text LANGUAGE sql STABLE SET search_path = '''' AS %L',
    format(' SELECT %L::text ', wanted));

  IF coalesce(obj_description(quote_ident(present)::regnamespace, 'pg_namespace'), '') LIKE '%' || mark THEN
    BEGIN
      EXECUTE format('DROP SCHEMA %I', present);
    EXCEPTION WHEN dependent_objects_still_exist THEN
      NULL; -- Somebody else put things there.
    END;
  END IF;
END
$place$;
