-- The runs of a subject, with the runs that they started. $1 what it is (customer, session, user), $2 its id, $3 its sessions.
WITH RECURSIVE erased AS (
    SELECT o.id
    FROM (
        SELECT r.id FROM agent_runs r WHERE r.session_id = ANY ($3::uuid[])
        UNION ALL
        SELECT r.id
        FROM agent_runs r
        WHERE $1::text = 'customer'
          AND $2::text IN (r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id')
        UNION ALL
        SELECT r.id FROM agent_runs r WHERE $1::text = 'user' AND r.metadata ->> 'user' = $2::text
        UNION ALL
        -- Runs that should be gone: an interruption left them, or an event that came at the same moment.
        SELECT r.id FROM ingest_tombstones g JOIN agent_runs r ON r.id = g.id WHERE NOT g.is_session
    ) AS o
    UNION
    SELECT c.id
    FROM erased e
    JOIN agent_runs c ON c.parent_run_id = e.id
)
SELECT id FROM erased ORDER BY id
