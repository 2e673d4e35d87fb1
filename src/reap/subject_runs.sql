-- The runs of a subject, with the runs that they started. $1 to $4 as in subject_sessions.sql, $5 its sessions, $6 the customer that
-- the runs of a user belong to (NULL: any), $7 the customer of runs that are gone (NULL: not known), $8 where metadata names a user, $9 and
-- $10 runs of the subject on other servers of the store, and whose they are: here may be runs that they started. A run
-- of another customer stays, whatever it names as its parent. Whose a run is, its key says, or else the run.
WITH RECURSIVE runs AS NOT MATERIALIZED (
    SELECT id, session_id, parent_run_id, start_event_at, metadata, end_metadata, observed,
           ARRAY[tenant_id::text, customer_id::text, metadata ->> 'unresolved_customer_id'] AS customers,
           coalesce(tenant_id::text, customer_id::text, metadata ->> 'unresolved_customer_id') AS owner
    FROM agent_runs
), erased AS (
    SELECT o.id, o.owner
    FROM (
        SELECT r.id, r.owner
        FROM runs r
        WHERE r.session_id = ANY ($5::uuid[])
        UNION ALL
        -- Runs whose start has not come yet: a message or an approval tells their session.
        SELECT r.id, r.owner
        FROM runs r
        WHERE r.session_id IS NULL AND r.start_event_at IS NULL
          AND r.id IN (SELECT m.run_id FROM agent_messages m WHERE m.session_id = ANY ($5::uuid[])
                       UNION ALL
                       SELECT a.run_id FROM approvals a WHERE a.session_id = ANY ($5::uuid[]))
        UNION ALL
        SELECT r.id, r.owner
        FROM runs r
        WHERE $1::text = 'customer' AND $2::text[] && r.customers
        UNION ALL
        SELECT r.id, r.owner
        FROM runs r
        CROSS JOIN LATERAL (
            -- Metadata of the start and of the end, and that of the process: OpenTelemetry has names of its own.
            SELECT r.observed #>> '{user,2}' AS name
            UNION ALL
            SELECT m.data #>> place.path::text[]
            FROM (VALUES (r.metadata), (r.end_metadata), (r.metadata -> 'resource')) AS m (data)
            CROSS JOIN unnest($8::text[]) AS place (path)
        ) AS named
        WHERE $1::text = 'user' AND ($6::text[] IS NULL OR $6 && r.customers)
          AND CASE WHEN $3::boolean THEN lower(named.name) ELSE named.name END = ANY ($2::text[])
        UNION ALL
        -- What was erased for it before, or should have been. The run may be there no more, and a run that it started may.
        SELECT g.id, CASE WHEN r.id IS NULL THEN $7::text ELSE r.owner END
        FROM ingest_tombstones g
        LEFT JOIN runs r ON r.id = g.id
        WHERE g.erased_for = $4::text AND NOT g.is_session
          AND NOT EXISTS (SELECT FROM unnest($9::uuid[]) AS f (id) WHERE f.id = g.id)
        UNION ALL
        SELECT f.id, f.owner
        FROM unnest($9::uuid[], $10::text[]) AS f (id, owner)
    ) AS o
    UNION
    SELECT c.id, c.owner
    FROM erased e
    JOIN runs c ON c.parent_run_id = e.id AND (c.owner = e.owner) IS NOT FALSE
)
SELECT r.id, r.owner
FROM (SELECT DISTINCT id FROM erased) e
JOIN runs r ON r.id = e.id
ORDER BY r.id
