-- Deletes dead letters that are older than $1, at most $2.
DELETE FROM ingest_dead_letters
WHERE id IN (
    SELECT id
    FROM ingest_dead_letters
    WHERE received_at < now() - $1::text::interval
    ORDER BY received_at
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
)
