-- Runs whose start is unknown, each row as JSON. Reads all of them: there are few unless
-- something is wrong. Parameters as in runs.sql.
SELECT row_to_json(s)::text
FROM run_summary AS s
WHERE s.started_at IS NULL
  AND ($1::text IS NULL OR s.status = $1)
  AND ($2::text IS NULL OR s.agent_id = $2)
ORDER BY s.first_event_at DESC NULLS LAST
LIMIT $3
