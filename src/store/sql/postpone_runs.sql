-- Leaves runs to the sweeper. A time ahead stays: the sweeper could not settle the run.
-- $1 ids of locked runs.
UPDATE agent_runs SET settle_at = greatest(settle_at, statement_timestamp()) WHERE id = ANY ($1::uuid[])
