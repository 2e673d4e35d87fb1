-- Locks the runs $1, and clears the mark of the writer that knows the sums of their rows.
UPDATE agent_runs r SET summed_by = NULL
FROM (SELECT id FROM agent_runs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE) AS locked
WHERE r.id = locked.id AND r.summed_by IS NOT NULL
