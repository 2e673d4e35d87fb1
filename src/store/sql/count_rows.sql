-- Counts the rows below runs, as far as it matters. $1 ids of runs, in the order of counting. $2 the
-- most rows of a run: no more than one further row is counted. $3 the same of all runs together:
-- the last run is not counted to its end then, and those behind it are missing.
-- A run without rows counts as one row.
SELECT c.id, max(c.position) AS position, count(*) AS rows
FROM (
    SELECT n.id, n.position
    FROM unnest($1::uuid[]) WITH ORDINALITY AS n (id, position)
    LEFT JOIN LATERAL (
        SELECT 1 AS one
        FROM (
            SELECT 1 FROM agent_steps WHERE run_id = n.id
            UNION ALL
            SELECT 1 FROM agent_token_counts WHERE run_id = n.id
            UNION ALL
            SELECT 1 FROM agent_messages WHERE run_id = n.id
            UNION ALL
            SELECT 1 FROM agent_step_aliases WHERE run_id = n.id
            UNION ALL
            SELECT 1 FROM approvals WHERE run_id = n.id
            UNION ALL
            SELECT 1 FROM agent_scores WHERE run_id = n.id
        ) AS below
        LIMIT $2::bigint + 1
    ) AS b ON true
    LIMIT $3::bigint + 1
) AS c
GROUP BY c.id
