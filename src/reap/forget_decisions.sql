-- Takes the user, whose id has the spellings $1, out of decisions about runs and sessions that stay, with the notes. $2 the customer that they belong to (NULL:
-- any), $3 the runs and $4 the sessions that do not stay; $5: only counts them. Returns how many these are.
WITH found AS MATERIALIZED (
    SELECT a.id
    FROM approvals a
    LEFT JOIN agent_runs r ON r.id = a.run_id
    LEFT JOIN agent_sessions s ON s.id = a.session_id
    WHERE (a.decided_by::text = ANY ($1::text[]) OR a.metadata ->> 'unresolved_decided_by' = ANY ($1))
      AND ($2::text[] IS NULL
           OR $2 && ARRAY[r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id']
           OR $2 && ARRAY[s.tenant_id::text, s.customer_id::text, s.metadata ->> 'unresolved_customer_id'])
      AND (a.run_id = ANY ($3::uuid[])) IS NOT TRUE
      AND (a.session_id = ANY ($4::uuid[])) IS NOT TRUE
), forgotten AS (
    UPDATE approvals a
    SET decided_by = NULL, notes = NULL,
        metadata = CASE WHEN metadata ? 'unresolved_decided_by' AND jsonb_typeof(metadata) = 'object'
                        THEN nullif(metadata - 'unresolved_decided_by', '{}') ELSE metadata END
    FROM found f
    WHERE a.id = f.id AND NOT $5::boolean
)
SELECT count(*) FROM found
