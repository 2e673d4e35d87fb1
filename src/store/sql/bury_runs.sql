-- Notes runs that start in an erased session, or below an erased run, as erased for the same subject. $1 runs, $2 their sessions,
-- $3 their parents, $4 the tenants that say so (NULL: any). A run that is there is meant only if it has no session yet and
-- belongs to the tenant: then nobody writes below it any more, and whoever deletes next deletes it.
-- Returns the runs.
WITH erased AS (
    SELECT u.id, u.tenant_id, g.erased_for
    FROM unnest($1::uuid[], $2::uuid[], $4::uuid[]) AS u (id, session_id, tenant_id)
    JOIN ingest_tombstones g ON g.id = u.session_id AND g.is_session
    UNION ALL
    SELECT u.id, u.tenant_id, g.erased_for
    FROM unnest($1::uuid[], $3::uuid[], $4::uuid[]) AS u (id, parent_id, tenant_id)
    JOIN ingest_tombstones g ON g.id = u.parent_id AND NOT g.is_session
    WHERE g.erased_for IS NOT NULL
), buried AS MATERIALIZED (
    SELECT DISTINCT ON (e.id) e.id, e.erased_for
    FROM erased e
    LEFT JOIN agent_runs r ON r.id = e.id
    WHERE r.id IS NULL OR r.session_id IS NULL AND (e.tenant_id IS NULL OR r.tenant_id = e.tenant_id)
    ORDER BY e.id, e.erased_for
), marked AS (
    UPDATE agent_runs r SET gone_at = now()
    FROM (
        SELECT o.id
        FROM agent_runs o
        WHERE o.id = ANY (ARRAY(SELECT b.id FROM buried b)) AND o.gone_at IS NULL
        ORDER BY o.id
        FOR NO KEY UPDATE
    ) AS o
    WHERE r.id = o.id
), noted AS (
    INSERT INTO ingest_tombstones (id, erased_for)
    SELECT b.id, b.erased_for FROM buried b ORDER BY b.id
    ON CONFLICT DO NOTHING
)
SELECT id FROM buried
