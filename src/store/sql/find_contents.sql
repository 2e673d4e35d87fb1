-- Which of these contents are stored: their positions. $1 runs or scopes, $2 hashes, $3 whether it is a scope.
-- The transaction has the lock of each run and scope, so none is added meanwhile.
WITH asked AS MATERIALIZED (
    SELECT u.holder, u.hash, u.shared, u.position
    FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) WITH ORDINALITY AS u (holder, hash, shared, position)
)
SELECT a.position FROM asked a JOIN agent_contents c ON c.run_id = a.holder AND c.hash = a.hash WHERE NOT a.shared
UNION ALL
SELECT a.position FROM asked a JOIN agent_shared_contents c ON c.scope_id = a.holder AND c.hash = a.hash WHERE a.shared
