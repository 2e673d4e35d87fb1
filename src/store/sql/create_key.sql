-- Stores a new key, unless its customer does not exist or was deleted.
-- $1 id, $2 name, $3 SHA-256, $4 customer or NULL, $5 events and $6 bytes per second or NULL, $7 access.
INSERT INTO ingest_keys (id, name, key_sha256, customer_id, max_events_per_second, max_bytes_per_second, access)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE $4::uuid IS NULL OR EXISTS (SELECT FROM public.known_customer($4) c WHERE c.deleted_at IS NULL)
