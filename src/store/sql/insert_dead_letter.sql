-- Keeps an event that Postgres refused. Its id is derived from the event, so
-- that a retry does not keep it twice; a replayed one that fails again is open again.
-- $1 id, $2 source, $3 code, $4 reason, $5 payload.
INSERT INTO ingest_dead_letters (id, source, code, reason, payload)
VALUES ($1, $2, $3, $4, $5::jsonb)
ON CONFLICT ON CONSTRAINT ingest_dead_letters_pkey DO UPDATE
SET reason = excluded.reason, replayed_at = NULL
