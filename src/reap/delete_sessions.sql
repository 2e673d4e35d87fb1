-- Deletes the sessions $1 with their messages and approvals. They have no runs.
WITH messages AS (
    DELETE FROM agent_messages WHERE session_id = ANY ($1::uuid[]) RETURNING 1
), asked AS (
    DELETE FROM approvals WHERE session_id = ANY ($1::uuid[]) RETURNING 1
), sessions AS (
    DELETE FROM agent_sessions WHERE id = ANY ($1::uuid[]) RETURNING 1
)
SELECT (SELECT count(*) FROM messages) AS messages, (SELECT count(*) FROM asked) AS approvals,
       (SELECT count(*) FROM sessions) AS sessions
