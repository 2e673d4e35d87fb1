-- Deletes dead letters: $1 these, or $2 those with a code, or of both NULL all that were
-- not replayed.
DELETE FROM ingest_dead_letters
WHERE id = ANY ($1::uuid[]) OR code = $2 OR ($1 IS NULL AND $2 IS NULL AND replayed_at IS NULL)
