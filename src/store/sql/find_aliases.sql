-- Finds the aliases that a batch needs.
-- $1 runs and $2 ids that may be aliases. Each alias is followed to the aliases that it stands
-- for, at most $3 deep: deepest says that those were not looked for. A chain has a row per alias
-- and depth, so $3 is small and the caller asks again. $4 runs whose root aliases are wanted too,
-- at most $5 of them (NULL: all).
-- Times are microseconds since 2000. Each row also has the tenant whose key brought the alias,
-- and the owner of its run (as in owners.sql).
WITH RECURSIVE chain AS (
    SELECT a.run_id, a.id, a.step_id, a.parent_step_id, a.tenant_id, 1 AS depth
    FROM unnest($1::uuid[], $2::uuid[]) AS n (run_id, id)
    JOIN agent_step_aliases a ON a.run_id = n.run_id AND a.id = n.id
    UNION
    SELECT a.run_id, a.id, a.step_id, a.parent_step_id, a.tenant_id, c.depth + 1
    FROM chain c
    JOIN agent_step_aliases a ON a.run_id = c.run_id AND a.id = ANY (ARRAY[c.step_id, c.parent_step_id])
    WHERE c.depth < $3
), found AS (
    SELECT run_id, id, step_id, parent_step_id, tenant_id, min(depth) = $3 AS deepest,
           NULL::bigint AS started_at, NULL::bigint AS ended_at, NULL AS status, NULL AS error, NULL AS name
    FROM chain
    GROUP BY run_id, id, step_id, parent_step_id, tenant_id
    UNION ALL
    (SELECT run_id, id, step_id, parent_step_id, tenant_id, true,
           ((extract(epoch FROM root_started_at) - 946684800) * 1000000)::bigint,
           ((extract(epoch FROM root_ended_at) - 946684800) * 1000000)::bigint, root_status, root_error, root_name
    FROM agent_step_aliases
    WHERE run_id = ANY ($4::uuid[]) AND root_ended_at IS NOT NULL
    LIMIT $5::bigint)
)
SELECT f.*, CASE WHEN f.tenant_id IS NOT NULL THEN (
           SELECT coalesce(r.tenant_id, r.customer_id, s.tenant_id,
                           CASE WHEN s.merge_times[1] IS NOT NULL THEN s.customer_id END)
           FROM agent_runs r
           LEFT JOIN agent_sessions s ON s.id = r.session_id
           WHERE r.id = f.run_id) END AS owner
FROM found f
