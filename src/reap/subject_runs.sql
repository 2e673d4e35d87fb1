-- The runs of a subject, with the runs that they started. $1 to $4 as in subject_sessions.sql, $5 its sessions, $6 the customer that
-- the runs of a user belong to (NULL: any), $7 the tenant of runs that are gone (NULL: not known). A run of another tenant belongs to
-- nobody's runs, whatever it names as its parent.
WITH RECURSIVE erased AS (
    SELECT o.id, o.tenant_id
    FROM (
        SELECT r.id, r.tenant_id FROM agent_runs r WHERE r.session_id = ANY ($5::uuid[])
        UNION ALL
        -- Runs whose start has not come yet: a message or an approval tells their session.
        SELECT r.id, r.tenant_id
        FROM agent_runs r
        WHERE r.session_id IS NULL AND r.start_event_at IS NULL
          AND r.id IN (SELECT m.run_id FROM agent_messages m WHERE m.session_id = ANY ($5::uuid[])
                       UNION ALL
                       SELECT a.run_id FROM approvals a WHERE a.session_id = ANY ($5::uuid[]))
        UNION ALL
        SELECT r.id, r.tenant_id
        FROM agent_runs r
        WHERE $1::text = 'customer'
          AND $2::text IN (r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id')
        UNION ALL
        SELECT r.id, r.tenant_id
        FROM agent_runs r
        WHERE $1::text = 'user'
          AND ($6::text IS NULL OR $6 IN (r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id'))
          AND CASE WHEN $3::boolean THEN $2::text IN (lower(r.metadata ->> 'user'), lower(r.observed #>> '{user,2}'))
                   ELSE $2::text IN (r.metadata ->> 'user', r.observed #>> '{user,2}') END
        UNION ALL
        -- What was erased for it before, or should have been. The run may be there no more, and a run that it started may.
        SELECT g.id, CASE WHEN r.id IS NULL THEN $7::uuid ELSE r.tenant_id END
        FROM ingest_tombstones g
        LEFT JOIN agent_runs r ON r.id = g.id
        WHERE g.erased_for = $4::text AND NOT g.is_session
    ) AS o
    UNION
    SELECT c.id, c.tenant_id
    FROM erased e
    JOIN agent_runs c ON c.parent_run_id = e.id AND (c.tenant_id = e.tenant_id) IS NOT FALSE
)
SELECT r.id, r.tenant_id FROM (SELECT DISTINCT id FROM erased) e JOIN agent_runs r ON r.id = e.id ORDER BY r.id
