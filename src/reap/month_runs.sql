-- The next runs of a month, and since when each must not have changed to be deleted (NULL: it is kept). $1 the month; $2 where the
-- last look ended; $3 how many at most; $4 how long runs are kept that no rule is about (NULL: for ever); $5 whether rules count.
-- Whether somebody is asked about a run or has scored it, lock_doomed.sql says. Runs whose deletion has begun are left out.
SELECT r.id, CASE WHEN r.status <> 'running' AND r.settle_at IS NULL
                       AND coalesce(r.changed_at, r.ended_at) < s.since - interval '1 minute' THEN s.since::text END AS since
FROM agent_runs r
LEFT JOIN LATERAL (
    SELECT k.keep, true AS is_rule
    FROM retention_rules k
    WHERE $5::boolean
      AND (k.status IS NULL OR k.status = r.status)
      AND (k.agent_id IS NULL OR k.agent_id = r.agent_id)
      AND (k.customer_id IS NULL
           OR k.customer_id::text = coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id'))
    ORDER BY num_nonnulls(k.status, k.agent_id, k.customer_id) DESC, k.customer_id IS NULL, k.agent_id IS NULL,
             k.keep DESC NULLS FIRST
    LIMIT 1
) k ON true
CROSS JOIN LATERAL (SELECT now() - CASE WHEN k.is_rule THEN k.keep ELSE $4::text::interval END AS since) s
WHERE r.bucket = $1 AND r.id > $2::uuid AND r.gone_at IS NULL
ORDER BY r.id
LIMIT $3::bigint
