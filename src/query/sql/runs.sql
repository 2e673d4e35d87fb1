-- The latest runs, newest first, each row as JSON.
-- $1 status or NULL; $2 agent or NULL; $3 limit.
SELECT row_to_json(s)::text
FROM run_summary AS s
WHERE s.started_at IS NOT NULL
  AND ($1::text IS NULL OR s.status = $1)
  AND ($2::text IS NULL OR s.agent_id = $2)
ORDER BY s.started_at DESC
LIMIT $3
