-- The next dead letters: what each names, what it starts, and whose it is. $1 where the last look ended, $2 how many at most, $3 a
-- regular expression for places that name the user, in JSON without backslashes (NULL: the subject is no user). JSON may be a text within
-- JSON, where quotes have backslashes. An id is named anywhere; a name that is no id may be any word, so it counts only where users are named.
-- `owner`: the customer whose letter it is: of its key, else the one that it names, else of the run that it is about. `hex`: the letter has no
-- JSON form, and this is its wire form.
SELECT d.id, d.tenant_id::text AS tenant, d.payload ->> 'protobufHex' AS hex,
       coalesce(p.plain ~ $3::text, false) AS says_user,
       ARRAY(SELECT m[1]::uuid
             FROM regexp_matches(
                 p.plain, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'gi') AS m) AS ids,
       s.start ->> 'runId' AS started, s.start ->> 'sessionId' AS session, s.start ->> 'parentRunId' AS parent,
       lower(s.start ->> 'customerId') AS customer, s.start ->> 'metadataJson' AS metadata,
       coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id') AS run_owner
FROM ingest_dead_letters d
CROSS JOIN LATERAL (
    SELECT replace(d.payload::text, '\', '') AS plain, jsonb_path_query_first(d.payload, '$.*.runId') #>> '{}' AS run
) p
CROSS JOIN LATERAL (SELECT d.payload -> 'runStarted' AS start) s
LEFT JOIN agent_runs r ON r.id = CASE WHEN p.run ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p.run::uuid END
WHERE d.id > $1::uuid
ORDER BY d.id
LIMIT $2::bigint
