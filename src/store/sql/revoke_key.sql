-- Revokes a key. $1 its id. Returns when it had been revoked before, if so; no row:
-- there is no such key. One statement, so that of two at once one is the first.
WITH old AS (
    SELECT id, revoked_at FROM ingest_keys WHERE id = $1 FOR UPDATE
), revoked AS (
    UPDATE ingest_keys k SET revoked_at = now() FROM old WHERE k.id = old.id AND old.revoked_at IS NULL
)
SELECT revoked_at::text FROM old
