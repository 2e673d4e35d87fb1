-- Deletes messages and approvals of the locked sessions $1: those of no run, or all ($2). $3 how many rows of a table at most.
WITH messages AS (
    DELETE FROM agent_messages
    WHERE id = ANY (ARRAY(
        SELECT id FROM agent_messages
        WHERE session_id = ANY ($1::uuid[]) AND (run_id IS NULL OR $2::boolean) LIMIT $3::bigint))
      AND session_id = ANY ($1::uuid[]) AND (run_id IS NULL OR $2::boolean)
    RETURNING 1
), asked AS (
    DELETE FROM approvals
    WHERE id = ANY (ARRAY(
        SELECT id FROM approvals
        WHERE session_id = ANY ($1::uuid[]) AND (run_id IS NULL OR $2::boolean) LIMIT $3::bigint))
      AND session_id = ANY ($1::uuid[]) AND (run_id IS NULL OR $2::boolean)
    RETURNING 1
)
SELECT (SELECT count(*) FROM messages) AS messages, (SELECT count(*) FROM asked) AS approvals
