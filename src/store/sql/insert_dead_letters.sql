-- Keeps events that Postgres refused. Their ids are derived from the events, so
-- that a retry does not keep them twice; a replayed one that fails again is open again.
-- $1 ids, $2 source, $3 codes, $4 reasons, $5 payloads.
INSERT INTO ingest_dead_letters (id, source, code, reason, payload)
SELECT DISTINCT ON (n.id) n.id, $2, n.code, n.reason, n.payload::jsonb
FROM unnest($1::uuid[], $3::text[], $4::text[], $5::text[]) AS n (id, code, reason, payload)
ORDER BY n.id
ON CONFLICT ON CONSTRAINT ingest_dead_letters_pkey DO UPDATE
SET code = excluded.code, reason = excluded.reason, replayed_at = NULL
