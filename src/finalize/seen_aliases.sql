-- Clears the mark of aliases whose runs the sweeper has looked at. $1 runs, which are locked;
-- $2 how many aliases at most (NULL: all).
UPDATE agent_step_aliases a
SET run_pending = NULL
FROM (
    SELECT run_id, id
    FROM agent_step_aliases
    WHERE run_id = ANY ($1::uuid[]) AND run_pending
    LIMIT $2::bigint
) n
WHERE a.run_id = n.run_id AND a.id = n.id
