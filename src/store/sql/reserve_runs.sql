-- Who brings the first alias of a run that is not there, and who brings the
-- run, must not miss each other: each waits for the other's transaction, and
-- then looks again. $1 keys of the runs, in one order everywhere.
SELECT pg_advisory_xact_lock(n.key) FROM unnest($1::bigint[]) AS n (key)
