-- Locks runs that do not exist. A writer with the first alias of such a run and a writer with
-- the run itself must see each other's work: each waits here for the other's transaction, then
-- looks again. $1 keys of the runs, sorted: every writer takes them in the same order.
SELECT pg_advisory_xact_lock(n.key) FROM unnest($1::bigint[]) AS n (key)
