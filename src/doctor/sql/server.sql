-- What the checks of the server and of the role look at, in one row.
-- $1: the tables that the daemon writes; $2: the statement_timeout that the role has.
SELECT
  current_setting('server_version') AS version,
  current_setting('server_version_num')::int AS version_num,
  pg_is_in_recovery() AS standby,
  current_setting('default_transaction_read_only') = 'on' AS read_only,
  current_setting('server_encoding') AS encoding,
  current_setting('fsync') = 'on' AS fsync,
  current_setting('full_page_writes') = 'on' AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit,
  $2::text AS statement_timeout,
  current_setting('max_connections')::int AS max_connections,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved_connections,
  (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used_connections,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit,
  (SELECT extversion FROM pg_extension WHERE extname = 'pg_trgm') AS trgm_version,
  EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') AS trgm_available,
  current_user::text AS role,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
  has_schema_privilege('public', 'CREATE') AS may_create,
  has_database_privilege(current_database(), 'CREATE') OR to_regnamespace('auth') IS NOT NULL AS has_auth,
  t.foreign_tables,
  t.closed_tables
FROM (
  SELECT
    coalesce(array_agg(DISTINCT c.name ORDER BY c.name) FILTER (WHERE NOT c.own), '{}') AS foreign_tables,
    coalesce(array_agg(DISTINCT c.name ORDER BY c.name) FILTER (WHERE NOT c.writable), '{}') AS closed_tables
  FROM (
    SELECT c.relname::text AS name, pg_has_role(c.relowner, 'USAGE') AS own,
      has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
        AND (n.nspname = 'public' OR has_schema_privilege(n.oid, 'USAGE')) AS writable
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = ANY ($1)
      -- Where runs are in slots, each slot has tables of its own.
      AND (n.nspname = 'public' OR to_regclass('public.agent_slots') IS NOT NULL AND n.nspname ~ '^runtraced_[0-9]{2}$')
  ) AS c
) AS t
