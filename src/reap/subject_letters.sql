-- The next dead letters, with all ids that they name, and whether they name the subject itself. $1 what it is (customer,
-- session, user), $2 its id, $3 where the last look ended, $4 how many at most.
SELECT d.id, coalesce($1::text = 'customer' AND d.tenant_id::text = $2::text, false)
           OR position('"' || $2::text || '"' IN d.payload::text) > 0 AS named,
       ARRAY(SELECT m[1]::uuid
             FROM regexp_matches(
                 d.payload::text, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'gi') AS m) AS ids
FROM ingest_dead_letters d
WHERE d.id > $3::uuid
ORDER BY d.id
LIMIT $4::bigint
