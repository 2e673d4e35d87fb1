-- A run may have any number of rows, and each small event may change how all of them show. Writers
-- do such work at once in small runs only. For the others they note a time here, and the sweeper
-- does the work bit by bit.
--
-- And functions that only daemons need can be called by daemons only: PostgREST offers every
-- function of the schema to everybody who may execute it.
--
-- The column only adds, may be NULL, and is the daemon's own: nothing for readers.
--
-- Rollback: 0032_work_for_the_sweeper.down.sql

ALTER TABLE agent_runs ADD COLUMN settle_at TIMESTAMPTZ;

COMMENT ON COLUMN agent_runs.settle_at IS
  'Merge state: the sweeper settles the run from then on, because it has many rows; NULL: there is nothing to do';

CREATE INDEX idx_agent_runs_settle ON agent_runs(settle_at) WHERE settle_at IS NOT NULL;

DO $migration$
DECLARE
  helper regprocedure;
  visitor text;
  writer text;
BEGIN
  FOREACH helper IN ARRAY ARRAY[
    'public.merge_observed(jsonb, jsonb)', 'public.merge_services(jsonb, jsonb)',
    'public.observed_customer_id(jsonb)', 'public.observed_metadata(jsonb, boolean)',
    'public.ingest_migrations()', 'public.ingest_write_epoch()'
  ]::regprocedure[] LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', helper);
    FOR visitor IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %I', helper, visitor);
    END LOOP;
    -- Roles that were granted what a daemon needs before this migration.
    FOR writer IN
      SELECT DISTINCT r.rolname
      FROM pg_policies AS p, unnest(p.roles) AS granted (name)
      JOIN pg_roles AS r ON r.rolname = granted.name
      WHERE p.schemaname = 'public' AND p.policyname = ('runtraced writes as ' || r.rolname)::name
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', helper, writer);
    END LOOP;
  END LOOP;
END
$migration$;
