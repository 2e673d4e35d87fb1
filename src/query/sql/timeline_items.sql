-- The rows of a run's timeline in order, with uncut texts. $1 is the run's id; JSON of more
-- than $2 characters is indented over several lines.
SELECT
  t.item, t.depth, t.offset_ms, t.duration_ms, t.kind, t.name, t.status, t.model, t.error,
  t.tokens_input, t.tokens_output, t.tokens_cache_read, t.tokens_cache_write, t.tokens_reasoning,
  CASE WHEN length(t.input::text) > $2 THEN jsonb_pretty(t.input) ELSE t.input::text END AS input,
  CASE WHEN length(t.output::text) > $2 THEN jsonb_pretty(t.output) ELSE t.output::text END AS output,
  t.content, t.thinking,
  CASE WHEN length(t.tool_calls::text) > $2 THEN jsonb_pretty(t.tool_calls) ELSE t.tool_calls::text END AS tool_calls,
  t.score_value, t.score_label, t.score_source, t.flags
FROM run_timeline AS t
WHERE t.run_id = $1
ORDER BY t.position
