-- Customers with the number of their valid keys, oldest first. $1 true: deleted ones too.
SELECT c.id, c.name, c.tier, c.arr::text AS arr,
       (SELECT count(*) FROM ingest_keys k WHERE k.customer_id = c.id AND k.revoked_at IS NULL) AS keys,
       c.created_at::text AS created_at, c.deleted_at::text AS deleted_at
FROM customers c
WHERE $1 OR c.deleted_at IS NULL
ORDER BY c.created_at, c.id
