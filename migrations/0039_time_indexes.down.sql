-- Undoes 0039_time_indexes.

DROP INDEX idx_agent_token_counts_time;
DROP INDEX idx_agent_steps_time;
