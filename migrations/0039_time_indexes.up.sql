-- Questions by time read that time: an index of pages for steps and for token counts.
--
-- Rows come about in the order of their time, so that a range of pages holds a range of times. BRIN keeps the two bounds of each
-- range: a few kilobytes for a million rows, and next to nothing for writers. Late events widen the bounds of single ranges.
-- `runtraced migrate` builds both indexes before this migration, CONCURRENTLY.
--
-- Rollback: 0039_time_indexes.down.sql

CREATE INDEX IF NOT EXISTS idx_agent_steps_time ON agent_steps
  USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE INDEX IF NOT EXISTS idx_agent_token_counts_time ON agent_token_counts
  USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
