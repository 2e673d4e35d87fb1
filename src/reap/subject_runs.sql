-- The runs of a subject, with the runs that they started. $1 to $4 as in subject_sessions.sql, $5 its sessions, $6 the customer that
-- the runs of a user belong to (NULL: any), $7 the customer of runs that are gone (NULL: not known). A run of another customer belongs
-- to nobody's runs, whatever it names as its parent. Whose a run is, its key says, or else the run.
WITH RECURSIVE erased AS (
    SELECT o.id, o.owner
    FROM (
        SELECT r.id, coalesce(r.tenant_id, r.customer_id) AS owner
        FROM agent_runs r
        WHERE r.session_id = ANY ($5::uuid[])
        UNION ALL
        -- Runs whose start has not come yet: a message or an approval tells their session.
        SELECT r.id, coalesce(r.tenant_id, r.customer_id)
        FROM agent_runs r
        WHERE r.session_id IS NULL AND r.start_event_at IS NULL
          AND r.id IN (SELECT m.run_id FROM agent_messages m WHERE m.session_id = ANY ($5::uuid[])
                       UNION ALL
                       SELECT a.run_id FROM approvals a WHERE a.session_id = ANY ($5::uuid[]))
        UNION ALL
        SELECT r.id, coalesce(r.tenant_id, r.customer_id)
        FROM agent_runs r
        WHERE $1::text = 'customer'
          AND $2::text IN (r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id')
        UNION ALL
        SELECT r.id, coalesce(r.tenant_id, r.customer_id)
        FROM agent_runs r
        CROSS JOIN LATERAL (
            -- Metadata of the start and of the end, and that of the process: OpenTelemetry has names of its own.
            SELECT r.observed #>> '{user,2}' AS name
            UNION ALL
            SELECT m.data #>> place.path
            FROM (VALUES (r.metadata), (r.end_metadata), (r.metadata -> 'resource')) AS m (data)
            CROSS JOIN (VALUES ('{user}'::text[]), ('{user,id}'), ('{user_id}'), ('{userId}'), ('{user.id}'), ('{user.name}'),
                               ('{user.email}'), ('{enduser.id}')) AS place (path)
        ) AS named
        WHERE $1::text = 'user'
          AND ($6::text IS NULL OR $6 IN (r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id'))
          AND $2::text = CASE WHEN $3::boolean THEN lower(named.name) ELSE named.name END
        UNION ALL
        -- What was erased for it before, or should have been. The run may be there no more, and a run that it started may.
        SELECT g.id, CASE WHEN r.id IS NULL THEN $7::uuid ELSE coalesce(r.tenant_id, r.customer_id) END
        FROM ingest_tombstones g
        LEFT JOIN agent_runs r ON r.id = g.id
        WHERE g.erased_for = $4::text AND NOT g.is_session
    ) AS o
    UNION
    SELECT c.id, coalesce(c.tenant_id, c.customer_id)
    FROM erased e
    JOIN agent_runs c ON c.parent_run_id = e.id
      AND (coalesce(c.tenant_id, c.customer_id) = e.owner) IS NOT FALSE
)
SELECT r.id, coalesce(r.tenant_id, r.customer_id) AS owner
FROM (SELECT DISTINCT id FROM erased) e
JOIN agent_runs r ON r.id = e.id
ORDER BY r.id
