-- Forgets which runs and sessions were deleted, when that was longer than $1 ago (NULL: than 90 days), but not earlier than after
-- 90 days. At most $2.
DELETE FROM ingest_tombstones
WHERE (id, is_session) IN (
    SELECT id, is_session
    FROM ingest_tombstones
    WHERE at < now() - greatest($1::text::interval, interval '90 days')
    ORDER BY at
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
)
