-- Merges token counts; each id occurs at most once. $1 to $11 the columns of their rows, in the
-- order of COPY.
-- Of two contents for one token count the later wins, then the greater.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- Returns the token counts that changed; those whose id belongs to another run (elsewhere); and
-- those that did not exist (new) or that an event changes (due). If a token count is new or due
-- and did not change, another transaction inserted it meanwhile, or a trigger skips it.
WITH n AS MATERIALIZED (
    SELECT u.*,
           -- Content that loses now also loses later, because a row only becomes greater.
           NOT EXISTS (
               SELECT FROM agent_token_counts o
               WHERE o.id = u.id AND NOT record_gt(
                   ROW(u.created_at, u.step_id, u.model COLLATE "C", u.input, u.output,
                       u.cache_read, u.cache_write, u.reasoning, u.rollup),
                   ROW(o.created_at, o.step_id, o.model COLLATE "C", o.input, o.output,
                       o.cache_read, o.cache_write, o.reasoning, o.rollup))) AS wins
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::integer[], $7::integer[], $8::integer[],
                $9::integer[], $10::boolean[], $11::timestamptz[])
         AS u (id, run_id, step_id, model, input, output, cache_read, cache_write, reasoning, rollup, created_at)
), merged AS (
    INSERT INTO agent_token_counts AS t (
        id, run_id, step_id, model, input, output, cache_read, cache_write, reasoning, rollup, created_at)
    SELECT id, run_id, step_id, model, input, output, cache_read, cache_write, reasoning, rollup, created_at
    FROM n
    -- Skips content that loses: a conflict locks the row, and that is a write.
    WHERE wins
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_token_counts_pkey DO UPDATE
    SET step_id = excluded.step_id, model = excluded.model, input = excluded.input,
        output = excluded.output, cache_read = excluded.cache_read, cache_write = excluded.cache_write,
        reasoning = excluded.reasoning, rollup = excluded.rollup, created_at = excluded.created_at
    WHERE t.run_id = excluded.run_id
      AND record_gt(
          ROW(excluded.created_at, excluded.step_id, excluded.model COLLATE "C", excluded.input, excluded.output,
              excluded.cache_read, excluded.cache_write, excluded.reasoning, excluded.rollup),
          ROW(t.created_at, t.step_id, t.model COLLATE "C", t.input, t.output,
              t.cache_read, t.cache_write, t.reasoning, t.rollup))
    RETURNING t.id
)
SELECT id, 'updated' AS outcome FROM merged
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'new' WHEN o.run_id = n.run_id THEN 'due' ELSE 'elsewhere' END
FROM n
LEFT JOIN agent_token_counts o ON o.id = n.id
WHERE n.wins OR o.run_id IS DISTINCT FROM n.run_id
