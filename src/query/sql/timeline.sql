-- A run as one JSON object: its run_summary row and its run_timeline rows, in one
-- snapshot. $1 is the run's id.
SELECT json_build_object(
  'run', (SELECT row_to_json(s) FROM run_summary AS s WHERE s.run_id = $1),
  'timeline', coalesce(
    (SELECT json_agg(t ORDER BY t.position) FROM run_timeline AS t WHERE t.run_id = $1),
    '[]'
  )
)::text
