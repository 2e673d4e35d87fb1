-- Reads what decides which of several steps shows their call. $1 ids of steps.
-- The status of a step that was closed with its run is a guess.
SELECT s.id, s.run_id, s.step_type, (extract(epoch FROM s.created_at) * 1000000)::bigint AS started_at,
       s.name, coalesce(s.view, 0::smallint) AS view,
       CASE WHEN s.closed_with_run THEN 'running' ELSE s.status END AS status,
       s.input IS NOT NULL AS has_input, s.output IS NOT NULL AS has_output, s.model IS NOT NULL AS has_model,
       t.id AS count_id, num_nonnulls(t.input, t.output, t.cache_read, t.cache_write, t.reasoning) AS count_parts,
       coalesce(t.input, 0)::bigint + coalesce(t.output, 0) AS count_tokens
FROM agent_steps s
LEFT JOIN LATERAL (
    SELECT c.*
    FROM agent_token_counts c
    WHERE c.run_id = s.run_id AND c.step_id = s.id AND NOT c.rollup
    ORDER BY num_nonnulls(c.input, c.output, c.cache_read, c.cache_write, c.reasoning) DESC, c.id
    LIMIT 1
) t ON true
WHERE s.id = ANY ($1::uuid[])
