-- Reads the fullest token count of each step of runs, without roll-ups. $1 ids of runs.
SELECT DISTINCT ON (c.step_id)
       c.step_id, c.id, c.known AS parts, coalesce(c.input, 0)::bigint + coalesce(c.output, 0) AS tokens
FROM (
    SELECT t.*, num_nonnulls(t.input, t.output, t.cache_read, t.cache_write, t.reasoning) AS known
    FROM agent_token_counts t
    WHERE t.run_id = ANY ($1::uuid[]) AND NOT t.rollup AND t.step_id IS NOT NULL
) c
ORDER BY c.step_id, c.known DESC, c.id
