-- Looks at the next runs that may be due, from the one that has not changed for longest on, and says which are due.
-- $1 how long runs are kept that no rule is about (NULL: for ever); $2, $3 where the last look ended; $4 how many at most.
-- A run is due if it has not changed since `since`, has ended, and nothing is left to do about it. Whether somebody is asked about
-- it or has scored it, lock_doomed.sql says. changed_at is up to a minute behind (settle_runs.sql).
WITH page AS MATERIALIZED (
    SELECT r.id, coalesce(r.changed_at, r.ended_at) AS at, r.agent_id, r.status,
           coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id') AS customer,
           r.status <> 'running' AND r.settle_at IS NULL AND r.gone_at IS NULL AS is_done
    FROM agent_runs r
    WHERE (coalesce(r.changed_at, r.ended_at), r.id) > ($2::text::timestamptz, $3::uuid)
      AND coalesce(r.changed_at, r.ended_at) < now() - (
          SELECT min(k.keep) FROM (SELECT keep FROM retention_rules UNION ALL SELECT $1::text::interval) AS k)
    ORDER BY coalesce(r.changed_at, r.ended_at), r.id
    LIMIT $4::bigint
)
SELECT p.id, p.at::text AS at, s.since::text AS since, (p.is_done AND p.at < s.since - interval '1 minute') IS TRUE AS due
FROM page p
LEFT JOIN LATERAL (
    SELECT k.keep, true AS is_rule
    FROM retention_rules k
    WHERE (k.status IS NULL OR k.status = p.status)
      AND (k.agent_id IS NULL OR k.agent_id = p.agent_id)
      AND (k.customer_id IS NULL OR k.customer_id::text = p.customer)
    ORDER BY num_nonnulls(k.status, k.agent_id, k.customer_id) DESC, k.customer_id IS NULL, k.agent_id IS NULL,
             k.keep DESC NULLS FIRST
    LIMIT 1
) k ON true
CROSS JOIN LATERAL (SELECT now() - CASE WHEN k.is_rule THEN k.keep ELSE $1::text::interval END AS since) s
ORDER BY p.at, p.id
