-- Notes runs that start in an erased session, or below an erased run, as erased for the same subject, with the runs that they started. $1
-- runs, $2 their sessions, $3 their parents, $4 the tenants that say so (NULL: any), $5 the customers that the runs belong to (NULL: not
-- known). A run that is there is meant only if it has no session yet and belongs to the tenant: then nobody writes below it any more, and
-- whoever deletes next deletes it. A run that it started may have come before it, and is meant if it belongs to the same customer.
-- Returns the runs. They may be in any slot (public); then no lock is held before the update.
WITH RECURSIVE erased AS (
    SELECT u.id, u.tenant_id, u.owner, g.erased_for
    FROM unnest($1::uuid[], $2::uuid[], $4::uuid[], $5::uuid[]) AS u (id, session_id, tenant_id, owner)
    JOIN ingest_tombstones g ON g.id = u.session_id AND g.is_session
    UNION ALL
    SELECT u.id, u.tenant_id, u.owner, g.erased_for
    FROM unnest($1::uuid[], $3::uuid[], $4::uuid[], $5::uuid[]) AS u (id, parent_id, tenant_id, owner)
    JOIN ingest_tombstones g ON g.id = u.parent_id AND NOT g.is_session
    WHERE g.erased_for IS NOT NULL
), buried AS MATERIALIZED (
    SELECT DISTINCT ON (e.id) e.id, e.erased_for, e.tenant_id, e.owner
    FROM erased e
    LEFT JOIN public.agent_runs r ON r.id = e.id
    WHERE r.id IS NULL OR r.session_id IS NULL AND (e.tenant_id IS NULL OR r.tenant_id = e.tenant_id)
    ORDER BY e.id, e.erased_for
), below AS (
    SELECT b.id, b.erased_for, b.tenant_id, b.owner FROM buried b
    UNION
    SELECT c.id, b.erased_for, b.tenant_id, coalesce(c.tenant_id, c.customer_id)
    FROM below b
    JOIN public.agent_runs c ON c.parent_run_id = b.id
      AND CASE WHEN b.tenant_id IS NULL THEN (coalesce(c.tenant_id, c.customer_id) = b.owner) IS NOT FALSE
               ELSE coalesce(c.tenant_id, c.customer_id) = b.tenant_id END
), marked AS (
    UPDATE public.agent_runs r SET gone_at = now()
    FROM (
        SELECT o.id
        FROM public.agent_runs o
        WHERE o.id = ANY (ARRAY(SELECT b.id FROM below b)) AND o.gone_at IS NULL
        ORDER BY o.id
        FOR NO KEY UPDATE
    ) AS o
    WHERE r.id = o.id
), noted AS (
    INSERT INTO ingest_tombstones (id, erased_for)
    SELECT DISTINCT ON (b.id) b.id, b.erased_for FROM below b ORDER BY b.id, b.erased_for
    ON CONFLICT DO NOTHING
)
SELECT DISTINCT id FROM below
