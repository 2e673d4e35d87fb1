-- The next dead letters, with all ids that they name, the run that they start, and whether they name the subject itself. $1 to $3 as
-- in subject_sessions.sql, $4 where the last look ended, $5 how many at most. JSON may be a text within JSON, where quotes have
-- backslashes.
SELECT d.id, coalesce($1::text = 'customer' AND d.tenant_id::text = $2::text, false)
           OR position(replace(to_json($2::text)::text, '\', '')
                       IN CASE WHEN $3::boolean THEN lower(p.plain) ELSE p.plain END) > 0 AS named,
       d.payload #>> '{runStarted,runId}' AS started,
       ARRAY(SELECT m[1]::uuid
             FROM regexp_matches(
                 p.plain, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'gi') AS m) AS ids
FROM ingest_dead_letters d
CROSS JOIN LATERAL (SELECT replace(d.payload::text, '\', '') AS plain) p
WHERE d.id > $4::uuid
ORDER BY d.id
LIMIT $5::bigint
