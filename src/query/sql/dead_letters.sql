-- Dead letters, oldest first. $1 ids or NULL; $2 code or NULL; $3 true: replayed ones too;
-- $4 and $5 received_at and id of the last one seen, or NULL; $6 limit.
SELECT id, received_at::text, source, code, reason, tenant_id, replayed_at::text, payload::text
FROM ingest_dead_letters
WHERE ($1::uuid[] IS NULL OR id = ANY ($1))
  AND ($2::text IS NULL OR code = $2)
  AND ($3 OR replayed_at IS NULL)
  AND ($4::text IS NULL OR (received_at, id) > ($4::timestamptz, $5::uuid))
ORDER BY received_at, id
LIMIT $6
