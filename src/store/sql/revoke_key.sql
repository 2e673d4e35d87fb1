-- Revokes a key. $1 its id. Returns the time of an earlier revocation, or NULL if there was none;
-- no row if the key does not exist. It is one statement, so that of two concurrent calls exactly
-- one is the first.
WITH old AS (
    SELECT id, revoked_at FROM ingest_keys WHERE id = $1 FOR UPDATE
), revoked AS (
    UPDATE ingest_keys k SET revoked_at = now() FROM old WHERE k.id = old.id AND old.revoked_at IS NULL
)
SELECT revoked_at::text FROM old
