-- Nobody knows the sums of these runs any more: another writer is about to write
-- below them. $1 ids of locked runs.
UPDATE agent_runs SET summed_by = NULL WHERE id = ANY ($1::uuid[])
