-- Merges messages; each id occurs at most once. $1 to $12 the columns of their rows, in the
-- order of COPY.
-- Which content of a message wins:
-- - of two contents, the later, then the greater;
-- - of two sightings, the earlier, then the lesser;
-- - any other content over a sighting.
-- A sighting matches a message with its id in the same run or the same session. The row moves
-- to the run of the sighting that wins. Only the runs of the batch are locked, so rows of other
-- runs are visited in the order of their ids.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- Returns the messages that changed; those whose id belongs to another run or session
-- (elsewhere); and those that did not exist (new) or that an event changes (due). If a message
-- is new or due and did not change, another transaction changed it meanwhile, or a trigger
-- skips it.
WITH n AS MATERIALIZED (
    SELECT j.*,
           -- Content that loses now also loses later, because a row only becomes greater.
           NOT EXISTS (
               SELECT FROM agent_messages o
               WHERE o.id = j.id AND NOT CASE
                   -- Small values decide first: a large one is read from where Postgres keeps it
                   -- only if they are equal.
                   WHEN o.sighting AND j.sighting AND o.created_at IS DISTINCT FROM j.created_at
                       THEN record_gt(ROW(o.created_at), ROW(j.created_at))
                   WHEN o.sighting AND j.sighting THEN record_gt(
                       ROW(o.run_id, o.step_id, o.session_id,
                           ARRAY[o.role, o.content, o.thinking, o.tool_calls::text, o.metadata::text] COLLATE "C",
                           o.seq),
                       ROW(j.run_id, j.step_id, j.session_id,
                           ARRAY[j.role, j.content, j.thinking, j.tool_calls::text, j.metadata::text] COLLATE "C",
                           j.seq))
                   WHEN o.sighting THEN true
                   WHEN j.sighting THEN false
                   WHEN o.created_at IS DISTINCT FROM j.created_at
                       THEN record_gt(ROW(j.created_at), ROW(o.created_at))
                   ELSE record_gt(
                       ROW(j.session_id,
                           ARRAY[j.role, j.content, j.thinking, j.tool_calls::text, j.metadata::text] COLLATE "C",
                           j.step_id, j.seq),
                       ROW(o.session_id,
                           ARRAY[o.role, o.content, o.thinking, o.tool_calls::text, o.metadata::text] COLLATE "C",
                           o.step_id, o.seq))
                   END) AS wins
    FROM (
        SELECT u.id, u.session_id, u.role, u.content, u.thinking, u.tool_calls::jsonb AS tool_calls,
               u.metadata::jsonb AS metadata, u.created_at, u.run_id, u.step_id, u.seq, u.sighting
        FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                    $8::timestamptz[], $9::uuid[], $10::uuid[], $11::bigint[], $12::boolean[])
             AS u (id, session_id, role, content, thinking, tool_calls, metadata, created_at, run_id, step_id,
                   seq, sighting)
        OFFSET 0 -- keeps this subquery, so that JSON is parsed once
    ) j
), merged AS (
    INSERT INTO agent_messages AS m (
        id, session_id, role, content, thinking, tool_calls, metadata, created_at, run_id, step_id, seq,
        sighting)
    SELECT id, session_id, role, content, thinking, tool_calls, metadata, created_at, run_id, step_id, seq,
           sighting
    FROM n
    -- Skips content that loses: a conflict locks the row, and that is a write.
    WHERE wins
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_messages_pkey DO UPDATE
    SET session_id = excluded.session_id, role = excluded.role, content = excluded.content,
        thinking = excluded.thinking, tool_calls = excluded.tool_calls, metadata = excluded.metadata,
        created_at = excluded.created_at, run_id = excluded.run_id, step_id = excluded.step_id,
        seq = excluded.seq, sighting = excluded.sighting
    WHERE ((m.run_id IS NOT DISTINCT FROM excluded.run_id
            AND (m.run_id IS NOT NULL OR m.session_id = excluded.session_id))
           OR (m.session_id = excluded.session_id AND (m.sighting OR excluded.sighting)))
      AND CASE
          WHEN m.sighting AND excluded.sighting AND m.created_at IS DISTINCT FROM excluded.created_at
              THEN record_gt(ROW(m.created_at), ROW(excluded.created_at))
          WHEN m.sighting AND excluded.sighting THEN record_gt(
              ROW(m.run_id, m.step_id, m.session_id,
                  ARRAY[m.role, m.content, m.thinking, m.tool_calls::text, m.metadata::text] COLLATE "C",
                  m.seq),
              ROW(excluded.run_id, excluded.step_id, excluded.session_id,
                  ARRAY[excluded.role, excluded.content, excluded.thinking, excluded.tool_calls::text,
                        excluded.metadata::text] COLLATE "C",
                  excluded.seq))
          WHEN m.sighting THEN true
          WHEN excluded.sighting THEN false
          WHEN m.created_at IS DISTINCT FROM excluded.created_at
              THEN record_gt(ROW(excluded.created_at), ROW(m.created_at))
          ELSE record_gt(
              ROW(excluded.session_id,
                  ARRAY[excluded.role, excluded.content, excluded.thinking, excluded.tool_calls::text,
                        excluded.metadata::text] COLLATE "C",
                  excluded.step_id, excluded.seq),
              ROW(m.session_id,
                  ARRAY[m.role, m.content, m.thinking, m.tool_calls::text, m.metadata::text] COLLATE "C",
                  m.step_id, m.seq))
          END
    RETURNING m.id
)
SELECT id, 'updated' AS outcome FROM merged
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'new' WHEN w.own THEN 'due' ELSE 'elsewhere' END
FROM n
LEFT JOIN agent_messages o ON o.id = n.id
CROSS JOIN LATERAL (
    SELECT coalesce(
        (o.run_id IS NOT DISTINCT FROM n.run_id AND (o.run_id IS NOT NULL OR o.session_id = n.session_id))
        OR (o.session_id = n.session_id AND (o.sighting OR n.sighting)), false) AS own
) w
WHERE n.wins OR o.id IS NULL OR NOT w.own
