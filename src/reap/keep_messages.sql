-- Moves messages without a run out of a month, to the first partition: their session decides how long they are kept. $1 the month;
-- $2 how many at most. One that is there already is the same message, which came once more. Returns how many were looked at.
WITH found AS MATERIALIZED (
    SELECT id FROM agent_messages WHERE bucket = $1 AND run_id IS NULL ORDER BY id LIMIT $2::bigint
), known AS MATERIALIZED (
    SELECT f.id FROM found f JOIN agent_messages o ON o.id = f.id AND o.bucket = 0
), repeated AS (
    DELETE FROM agent_messages WHERE bucket = $1 AND run_id IS NULL AND id IN (SELECT id FROM known)
), moved AS (
    UPDATE agent_messages SET bucket = 0
    WHERE bucket = $1 AND run_id IS NULL AND id IN (SELECT id FROM found EXCEPT SELECT id FROM known)
)
SELECT count(*) FROM found
