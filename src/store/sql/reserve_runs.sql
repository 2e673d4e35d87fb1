-- Locks runs that do not exist. A writer with the first alias of such a run and a writer with
-- the run itself must see each other's work: each waits here for the other's transaction, then
-- looks again. $1 the class of these locks, $2 keys of the runs, sorted: every writer takes them
-- in the same order. Returns which of the runs $3 were deleted.
SELECT pg_advisory_xact_lock($1, n.key)::text AS reserved, NULL::uuid AS gone FROM unnest($2::integer[]) AS n (key)
UNION ALL
SELECT NULL, g.id FROM ingest_tombstones g WHERE g.id = ANY ($3::uuid[]) AND NOT g.is_session
