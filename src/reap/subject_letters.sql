-- The next dead letters, with all ids that they name and whether they name the subject itself. $1 to $3 as in subject_sessions.sql,
-- $4 where the last look ended, $5 how many at most, $6 the customer that the user belongs to (NULL: any), $7 a regular expression for
-- the spellings of $2 in JSON, without backslashes. JSON may be a text within JSON, where quotes have backslashes. An id is named anywhere; a name that is no id may be any word, so it counts only where users
-- are named.
-- `started`: the run that the letter starts; `places`: where it says that the run belongs, session, parent and customer; `users`:
-- whether it says that the run is the user's. `hex`: the letter has no JSON form, and this is its wire form.
SELECT d.id, l.named, l.ids, d.payload ->> 'protobufHex' AS hex, d.payload #>> '{runStarted,runId}' AS started,
       array_remove(ARRAY[d.payload #>> '{runStarted,sessionId}', d.payload #>> '{runStarted,parentRunId}',
                          CASE WHEN d.tenant_id IS NULL THEN d.payload #>> '{runStarted,customerId}' END,
                          d.tenant_id::text], NULL) AS places,
       l.users
FROM ingest_dead_letters d
CROSS JOIN LATERAL (SELECT replace(d.payload::text, '\', '') AS plain) p
CROSS JOIN LATERAL (
    SELECT $1::text = 'user' AND p.plain ~ (CASE WHEN $3::boolean THEN '(?i)' ELSE '' END
               || '"(user|userId|user_id|user\.id|user\.name|user\.email|enduser\.id|decidedBy|decided_by)"\s*:\s*"' || $7::text || '"') AS users,
           ARRAY(SELECT m[1]::uuid
                 FROM regexp_matches(
                     p.plain, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'gi') AS m) AS ids
) u
CROSS JOIN LATERAL (
    SELECT u.users, u.ids, coalesce(CASE WHEN $1::text = 'customer' THEN d.tenant_id::text = $2::text END, false) OR u.users AS named
) l
WHERE d.id > $4::uuid AND ($6::uuid IS NULL OR d.tenant_id = $6 OR d.tenant_id IS NULL AND d.payload #>> '{runStarted,customerId}' = $6::text)
ORDER BY d.id
LIMIT $5::bigint
