-- Deletes dead letters that are older than $1 (NULL: none), or than a rule for all runs or for all runs of their customer says; at
-- most $2. Whose a letter is, its key says, or else the run that it starts.
DELETE FROM ingest_dead_letters
WHERE id IN (
    SELECT d.id
    FROM ingest_dead_letters d
    LEFT JOIN LATERAL (
        SELECT k.keep, true AS is_rule
        FROM retention_rules k
        WHERE k.status IS NULL AND k.agent_id IS NULL AND (
            k.customer_id IS NULL OR k.customer_id::text = coalesce(d.tenant_id::text, lower(d.payload #>> '{runStarted,customerId}')))
        ORDER BY k.customer_id IS NULL, k.keep DESC NULLS FIRST
        LIMIT 1
    ) r ON true
    WHERE d.received_at < now() - (
              SELECT min(k.keep) FROM (SELECT keep FROM retention_rules UNION ALL SELECT $1::text::interval) AS k)
      AND d.received_at < now() - CASE WHEN r.is_rule THEN r.keep ELSE $1::text::interval END
    ORDER BY d.received_at
    LIMIT $2::bigint
    FOR UPDATE OF d SKIP LOCKED
)
