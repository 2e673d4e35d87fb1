-- Stores events that Postgres refused. Each id is derived from its event, so that a retry does
-- not store the event twice. If a replayed event fails again, it counts as not replayed.
-- $1 ids, $2 source, $3 codes, $4 reasons, $5 payloads, $6 tenants or NULL.
INSERT INTO ingest_dead_letters (id, source, code, reason, payload, tenant_id)
SELECT DISTINCT ON (n.id) n.id, $2, n.code, n.reason, n.payload::jsonb, n.tenant_id
FROM unnest($1::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[])
     AS n (id, code, reason, payload, tenant_id)
ORDER BY n.id
ON CONFLICT ON CONSTRAINT ingest_dead_letters_pkey DO UPDATE
SET code = excluded.code, reason = excluded.reason, replayed_at = NULL
