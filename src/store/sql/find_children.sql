-- Finds steps whose parent may change because of aliases. Their runs are locked.
-- $1 runs and $2 ids of new aliases: finds the steps below such an id, and the steps with such
-- an id. $3 runs in which an alias changed: finds all steps whose named parent may be an alias.
-- $4 runs in which steps may be below an alias that the daemon did not see when they arrived.
-- $5 the most rows; a step may be found twice.
SELECT s.run_id, s.id, s.named_parent_step_id
FROM unnest($1::uuid[], $2::uuid[]) AS n (run_id, id)
JOIN agent_steps s ON s.run_id = n.run_id AND s.parent_step_id = n.id
WHERE s.named_parent_step_id IS NOT NULL
UNION ALL
SELECT s.run_id, s.id, s.named_parent_step_id
FROM unnest($1::uuid[], $2::uuid[]) AS n (run_id, id)
JOIN agent_steps s ON s.id = n.id AND (s.run_id = n.run_id) IS TRUE
WHERE s.named_parent_step_id IS NOT NULL
UNION ALL
SELECT s.run_id, s.id, s.named_parent_step_id
FROM agent_steps s
WHERE s.run_id = ANY ($3::uuid[]) AND s.named_parent_step_id IS NOT NULL
UNION ALL
SELECT s.run_id, s.id, s.named_parent_step_id
FROM agent_step_aliases a
JOIN agent_steps s ON s.run_id = a.run_id AND s.parent_step_id = a.id
WHERE a.run_id = ANY ($4::uuid[]) AND s.named_parent_step_id IS NOT NULL
LIMIT $5::bigint
