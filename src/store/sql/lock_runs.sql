-- Locks the runs that a batch touches. The order of their ids prevents deadlocks between
-- writers. The lock guards everything below the run: one writer at a time.
-- $1 ids, $2 the default timeout in milliseconds.
-- `gone`: the run is being deleted.
-- `near_timeout`: in less than its timeout from now the run would count as abandoned.
SELECT id,
       status IS DISTINCT FROM 'running' AS final,
       finalized_by IS NOT DISTINCT FROM 'abandoned' AS abandoned,
       coalesce(abandon_at < now() + coalesce(timeout_ms, $2) * interval '1 ms', true) AS near_timeout,
       summed_by, (observed IS NOT NULL OR finalized_by = 'root_span') IS TRUE AS bridged,
       views_shown IS NOT NULL AS views_shown, gone_at IS NOT NULL AS gone
FROM agent_runs
WHERE id = ANY ($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE
