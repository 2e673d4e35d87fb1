-- Returns the valid keys. A key of a deleted customer is not valid.
SELECT k.id, k.key_sha256, k.customer_id, k.access, k.max_events_per_second, k.max_bytes_per_second
FROM ingest_keys k
LEFT JOIN LATERAL public.known_customer(k.customer_id) c ON true
WHERE k.revoked_at IS NULL AND (k.customer_id IS NULL OR c.deleted_at IS NULL)
