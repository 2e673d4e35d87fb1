-- Merges one pass of staged messages. $1 the pass.
-- Of two contents for one message the later stands, then the greater. Returns
-- the messages that changed, those whose id belongs to another run or session,
-- and those that another transaction inserted just now, so that this statement
-- cannot see whose they are (raced).
WITH n AS MATERIALIZED (
    SELECT * FROM stage_messages WHERE pass = $1
), merged AS (
    INSERT INTO agent_messages AS m (
        id, session_id, role, content, thinking, tool_calls, metadata, created_at, run_id, step_id, seq)
    SELECT id, session_id, role, content, thinking, tool_calls, metadata, created_at, run_id, step_id, seq
    FROM n
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_messages_pkey DO UPDATE
    SET session_id = excluded.session_id, role = excluded.role, content = excluded.content,
        thinking = excluded.thinking, tool_calls = excluded.tool_calls, metadata = excluded.metadata,
        created_at = excluded.created_at, step_id = excluded.step_id, seq = excluded.seq
    WHERE m.run_id IS NOT DISTINCT FROM excluded.run_id
      AND (m.run_id IS NOT NULL OR m.session_id = excluded.session_id)
      AND record_gt(
          ROW(excluded.created_at, excluded.session_id, excluded.role, excluded.content, excluded.thinking,
              excluded.tool_calls::text, excluded.metadata::text, excluded.step_id, excluded.seq),
          ROW(m.created_at, m.session_id, m.role, m.content, m.thinking,
              m.tool_calls::text, m.metadata::text, m.step_id, m.seq))
    RETURNING m.id
)
SELECT id, 'updated' AS fate FROM merged
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'raced' ELSE 'elsewhere' END
FROM n
LEFT JOIN merged m ON m.id = n.id
LEFT JOIN agent_messages o ON o.id = n.id
WHERE m.id IS NULL
  AND (o.id IS NULL OR o.run_id IS DISTINCT FROM n.run_id
       OR (o.run_id IS NULL AND o.session_id IS DISTINCT FROM n.session_id))
