-- Which of the runs $1 were deleted, or belong to the parents $2 (NULL: none) that were erased.
SELECT n.id
FROM unnest($1::uuid[], $2::uuid[]) AS n (id, parent_id)
WHERE EXISTS (SELECT FROM ingest_tombstones g WHERE g.id = n.id AND NOT g.is_session)
   OR EXISTS (SELECT FROM ingest_tombstones g WHERE g.id = n.parent_id AND NOT g.is_session AND g.erased_for IS NOT NULL)
