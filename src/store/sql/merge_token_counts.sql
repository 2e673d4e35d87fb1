-- Merges one pass of staged token counts. $1 the pass.
-- Of two contents for one count the later stands, then the greater. Returns
-- the counts that changed, those whose id belongs to another run, and those
-- that another transaction inserted just now, so that this statement cannot see
-- whose they are (raced).
WITH n AS MATERIALIZED (
    SELECT * FROM stage_token_counts WHERE pass = $1
), merged AS (
    INSERT INTO agent_token_counts AS t (
        id, run_id, step_id, model, input, output, cache_read, cache_write, reasoning, rollup, created_at)
    SELECT id, run_id, step_id, model, input, output, cache_read, cache_write, reasoning, rollup, created_at
    FROM n
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_token_counts_pkey DO UPDATE
    SET step_id = excluded.step_id, model = excluded.model, input = excluded.input,
        output = excluded.output, cache_read = excluded.cache_read, cache_write = excluded.cache_write,
        reasoning = excluded.reasoning, rollup = excluded.rollup, created_at = excluded.created_at
    WHERE t.run_id = excluded.run_id
      AND record_gt(
          ROW(excluded.created_at, excluded.step_id, excluded.model, excluded.input, excluded.output,
              excluded.cache_read, excluded.cache_write, excluded.reasoning, excluded.rollup),
          ROW(t.created_at, t.step_id, t.model, t.input, t.output,
              t.cache_read, t.cache_write, t.reasoning, t.rollup))
    RETURNING t.id
)
SELECT id, 'updated' AS fate FROM merged
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'raced' ELSE 'elsewhere' END
FROM n
LEFT JOIN merged m ON m.id = n.id
LEFT JOIN agent_token_counts o ON o.id = n.id
WHERE m.id IS NULL AND o.run_id IS DISTINCT FROM n.run_id
