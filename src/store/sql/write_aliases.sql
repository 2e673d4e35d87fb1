-- Merges aliases of steps, at most one row per alias. Runs that exist are locked; for the others
-- the writer holds the lock of reserve_runs.sql.
-- $1 runs, $2 aliases, $3 steps, $4 parents; $10 whether the run does not exist yet; $11 the
-- tenant whose key brought the alias, or NULL.
-- Of a root: $5 started_at (NULL: the alias is no root), $6 ended_at, $7 status, $8 error, $9 name.
-- The greatest step wins, then the greatest parent. Of roots, the end wins that would win in
-- patch_runs.sql, and the start and name that would win in merge_observed.
-- The end and the start of a root may come from two events.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- Returns the aliases that changed, and whether they existed before.
INSERT INTO agent_step_aliases AS a (
    run_id, id, step_id, parent_step_id, root_started_at, root_ended_at, root_status, root_error, root_name,
    run_pending, tenant_id)
SELECT n.run_id, n.id, n.step_id, n.parent_step_id, n.started_at, n.ended_at, n.status, n.error, n.name,
       nullif(n.run_pending, false), n.tenant_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::text[],
            $8::text[], $9::text[], $10::boolean[], $11::uuid[])
     AS n (run_id, id, step_id, parent_step_id, started_at, ended_at, status, error, name, run_pending, tenant_id)
ORDER BY n.run_id, n.id
ON CONFLICT ON CONSTRAINT agent_step_aliases_pkey DO UPDATE
SET step_id = CASE WHEN record_gt(ROW(excluded.step_id, excluded.parent_step_id), ROW(a.step_id, a.parent_step_id))
                   THEN excluded.step_id ELSE a.step_id END,
    parent_step_id = CASE
        WHEN record_gt(ROW(excluded.step_id, excluded.parent_step_id), ROW(a.step_id, a.parent_step_id))
        THEN excluded.parent_step_id ELSE a.parent_step_id END,
    root_ended_at = greatest(excluded.root_ended_at, a.root_ended_at),
    root_status = CASE WHEN excluded.root_ended_at IS NOT NULL AND (a.root_ended_at IS NULL OR record_gt(
            ROW(excluded.root_ended_at, ARRAY[excluded.root_status, excluded.root_error] COLLATE "C"),
            ROW(a.root_ended_at, ARRAY[a.root_status, a.root_error] COLLATE "C")))
         THEN excluded.root_status ELSE a.root_status END,
    root_error = CASE WHEN excluded.root_ended_at IS NOT NULL AND (a.root_ended_at IS NULL OR record_gt(
            ROW(excluded.root_ended_at, ARRAY[excluded.root_status, excluded.root_error] COLLATE "C"),
            ROW(a.root_ended_at, ARRAY[a.root_status, a.root_error] COLLATE "C")))
         THEN excluded.root_error ELSE a.root_error END,
    root_started_at = least(excluded.root_started_at, a.root_started_at),
    root_name = CASE WHEN record_gt(ROW(a.root_started_at, a.root_name COLLATE "C"),
                                    ROW(excluded.root_started_at, excluded.root_name COLLATE "C"))
                     THEN excluded.root_name ELSE a.root_name END
WHERE record_gt(ROW(excluded.step_id, excluded.parent_step_id), ROW(a.step_id, a.parent_step_id))
   OR (excluded.root_ended_at IS NOT NULL AND (
          a.root_ended_at IS NULL
          OR record_gt(ROW(excluded.root_ended_at, ARRAY[excluded.root_status, excluded.root_error] COLLATE "C"),
                       ROW(a.root_ended_at, ARRAY[a.root_status, a.root_error] COLLATE "C"))
          OR (excluded.root_started_at, excluded.root_name COLLATE "C")
             < (a.root_started_at, a.root_name COLLATE "C")))
RETURNING a.run_id, a.id, a.xmax <> 0 AS was_there
