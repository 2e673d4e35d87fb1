-- Deletes contents of the scope $1, which is locked, that no step of its runs needs: $2 rows at most. Returns how many.
WITH swept AS (
    DELETE FROM agent_shared_contents
    WHERE scope_id = $1::uuid AND hash = ANY (ARRAY(SELECT u.hash FROM unneeded_contents($1::uuid) AS u (hash) LIMIT $2::bigint))
    RETURNING 1
)
SELECT count(*) FROM swept
