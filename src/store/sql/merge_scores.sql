-- Merges scores; each id occurs at most once. $1 to $10 the columns of their rows, in the order
-- of COPY.
-- Of two contents for one score the later wins, then the greater.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- Returns the scores that changed; those whose id belongs to another run (elsewhere); and those
-- that did not exist (new) or that an event changes (due). If a score is new or due and did not
-- change, another transaction inserted it meanwhile, or a trigger skips it.
WITH n AS MATERIALIZED (
    SELECT j.*,
           -- Content that loses now also loses later, because a row only becomes greater.
           NOT EXISTS (
               SELECT FROM agent_scores o
               WHERE o.id = j.id AND NOT record_gt(
                   ROW(j.created_at, j.step_id, j.value,
                       ARRAY[j.name, j.label, j.comment, j.source, j.metadata::text] COLLATE "C"),
                   ROW(o.created_at, o.step_id, o.value,
                       ARRAY[o.name, o.label, o.comment, o.source, o.metadata::text] COLLATE "C"))) AS wins
    FROM (
        SELECT u.id, u.run_id, u.step_id, u.name, u.value, u.label, u.comment, u.source,
               u.metadata::jsonb AS metadata, u.created_at
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::double precision[], $6::text[], $7::text[],
                    $8::text[], $9::text[], $10::timestamptz[])
             AS u (id, run_id, step_id, name, value, label, comment, source, metadata, created_at)
        OFFSET 0 -- keeps this subquery, so that JSON is parsed once
    ) j
), merged AS (
    INSERT INTO agent_scores AS s (
        id, run_id, step_id, name, value, label, comment, source, metadata, created_at)
    SELECT id, run_id, step_id, name, value, label, comment, source, metadata, created_at
    FROM n
    -- Skips content that loses: a conflict locks the row, and that is a write.
    WHERE wins
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_scores_pkey DO UPDATE
    SET step_id = excluded.step_id, name = excluded.name, value = excluded.value, label = excluded.label,
        comment = excluded.comment, source = excluded.source, metadata = excluded.metadata,
        created_at = excluded.created_at
    WHERE s.run_id = excluded.run_id
      AND record_gt(
          ROW(excluded.created_at, excluded.step_id, excluded.value,
              ARRAY[excluded.name, excluded.label, excluded.comment, excluded.source,
                    excluded.metadata::text] COLLATE "C"),
          ROW(s.created_at, s.step_id, s.value,
              ARRAY[s.name, s.label, s.comment, s.source, s.metadata::text] COLLATE "C"))
    RETURNING s.id
)
SELECT id, 'updated' AS outcome FROM merged
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'new' WHEN o.run_id = n.run_id THEN 'due' ELSE 'elsewhere' END
FROM n
LEFT JOIN agent_scores o ON o.id = n.id
WHERE n.wins OR o.run_id IS DISTINCT FROM n.run_id
