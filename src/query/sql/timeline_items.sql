-- The rows of a run's timeline in order, with uncut texts. $1 is the run's id; JSON of more
-- than $2 characters is indented over several lines.
SELECT
  t.item, t.depth, t.offset_ms, t.duration_ms, t.kind, t.name, t.status, t.model, t.error,
  t.tokens_input, t.tokens_output, t.tokens_cache_read, t.tokens_cache_write, t.tokens_reasoning,
  CASE WHEN length(sent.input::text) > $2 THEN jsonb_pretty(sent.input) ELSE sent.input::text END AS input,
  CASE WHEN length(sent.output::text) > $2 THEN jsonb_pretty(sent.output) ELSE sent.output::text END AS output,
  t.content, t.thinking,
  CASE WHEN length(t.tool_calls::text) > $2 THEN jsonb_pretty(t.tool_calls) ELSE t.tool_calls::text END AS tool_calls,
  t.score_value, t.score_label, t.score_source, t.flags
FROM run_timeline AS t
-- OFFSET 0: the view puts each of them together once.
CROSS JOIN LATERAL (SELECT t.input, t.output OFFSET 0) AS sent
WHERE t.run_id = $1
ORDER BY t.position
