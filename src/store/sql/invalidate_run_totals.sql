-- Clears the mark of the writer that knows the sums of these runs, because another writer is
-- about to write below them. $1 ids of locked runs.
UPDATE agent_runs SET summed_by = NULL WHERE id = ANY ($1::uuid[])
