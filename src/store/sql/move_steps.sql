-- Sets the parents of steps to what their aliases stand for. Their runs are locked.
-- $1 runs, $2 steps, $3 parents.
UPDATE agent_steps s
SET parent_step_id = n.parent_step_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS n (run_id, id, parent_step_id)
WHERE s.id = n.id AND (s.run_id = n.run_id) IS TRUE AND s.parent_step_id IS DISTINCT FROM n.parent_step_id
