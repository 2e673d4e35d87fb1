-- Deletes dead letters: those with an id in $1, or with the code $2. If both are NULL: all that
-- were not replayed.
DELETE FROM ingest_dead_letters
WHERE id = ANY ($1::uuid[]) OR code = $2 OR ($1 IS NULL AND $2 IS NULL AND replayed_at IS NULL)
