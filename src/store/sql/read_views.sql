-- Reads what decides which of several steps shows their call. $1 ids of steps; $2 their runs.
-- The status of a step that was closed with its run is a guess.
SELECT s.id, s.run_id, s.step_type, (extract(epoch FROM s.created_at) * 1000000)::bigint AS started_at,
       s.name, coalesce(s.view, 0::smallint) AS view,
       CASE WHEN s.closed_with_run THEN 'running' ELSE s.status END AS status,
       s.input IS NOT NULL AS has_input, s.output IS NOT NULL AS has_output, s.model IS NOT NULL AS has_model
FROM agent_steps s
WHERE s.id = ANY ($1::uuid[]) AND (s.run_id = ANY ($2::uuid[])) IS TRUE
