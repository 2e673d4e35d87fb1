-- Forgets which runs and sessions were deleted, when that was longer ago than $1 (NULL: no limit), any rule, and 90 days. At most
-- $2.
DELETE FROM ingest_tombstones
WHERE (id, is_session) IN (
    SELECT id, is_session
    FROM ingest_tombstones
    WHERE at < now() - greatest($1::text::interval, (SELECT max(keep) FROM retention_rules), interval '90 days')
    ORDER BY at
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
)
