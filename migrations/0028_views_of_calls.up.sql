-- Several spans may describe one call: a framework's, the client's, the server's. When their
-- run has ended, one of them shows the call and the others show as views of it. These columns
-- keep what the rows say by themselves, so that the decision can be made anew when a further
-- span arrives.
--
-- The columns only add, may be NULL, and are the daemon's own: nothing for readers.
-- Daemons of older versions do not know them: none may write any more.
--
-- Rollback: 0028_views_of_calls.down.sql

ALTER TABLE agent_runs ADD COLUMN views_shown BOOLEAN;

COMMENT ON COLUMN agent_runs.views_shown IS
  'Merge state: true if steps or token counts of the run show as views of another step''s call; else NULL';

ALTER TABLE agent_steps ADD COLUMN own_view JSONB;

COMMENT ON COLUMN agent_steps.own_view IS
  'Merge state: the columns of the step as its own events reported them, if the row shows others because another step describes the same call; else NULL';

ALTER TABLE agent_token_counts ADD COLUMN seen_twice BOOLEAN;

COMMENT ON COLUMN agent_token_counts.seen_twice IS
  'Merge state: true if rollup is true only because another step counted the tokens of the same call; else NULL';
