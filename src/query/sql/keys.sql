-- Keys without their hashes, oldest first. $1 true: revoked ones too.
SELECT k.id, k.name, k.customer_id, c.name AS customer, k.access, k.max_events_per_second, k.max_bytes_per_second,
       k.created_at::text AS created_at, k.revoked_at::text AS revoked_at
FROM ingest_keys k
LEFT JOIN public.customer_names() c ON c.id = k.customer_id
WHERE $1 OR k.revoked_at IS NULL
ORDER BY k.created_at, k.id
