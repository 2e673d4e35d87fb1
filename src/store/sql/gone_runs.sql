-- Which of the runs $1 were deleted.
SELECT id FROM ingest_tombstones WHERE id = ANY ($1::uuid[]) AND NOT is_session
