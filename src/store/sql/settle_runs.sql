-- Makes the rows of final runs exact: totals, last event, and the start if none was sent.
-- $1 ids of locked runs, $2 NULL. Or: $1 a large run that need not be locked, $2 its settle_at; a
-- writer that changes something below it meanwhile sets another time, and then nothing is written.
-- Totals are the sums of the token counts that are not roll-ups. If there are none: what the run
-- reported. The INTEGER columns stop at their maximum; run_summary has the full sums.
-- Sightings of messages are left out, because they may move to another run.
WITH t AS MATERIALIZED (
    SELECT statement_timestamp() AS at, $2::text::timestamptz AS settle_at
)
UPDATE agent_runs r
SET total_tokens_input = m.tokens_input,
    total_tokens_output = m.tokens_output,
    started_at = m.started_at,
    last_event_at = m.last_event_at,
    changed_at = now(),
    settle_at = CASE WHEN m.settle_at IS NULL AND r.settle_at IS NOT NULL THEN greatest(r.settle_at, m.at) END
FROM (
    SELECT o.id, t.at, t.settle_at,
           CASE WHEN n.counts > 0 THEN least(n.input, 2147483647)::integer
                ELSE o.reported_tokens_input END AS tokens_input,
           CASE WHEN n.counts > 0 THEN least(n.output, 2147483647)::integer
                ELSE o.reported_tokens_output END AS tokens_output,
           CASE WHEN o.start_event_at IS NOT NULL THEN o.started_at
                ELSE coalesce(o.root_started_at, least(s.first_at, c.first_at, n.first_at, a.first_at)) END AS started_at,
           greatest(o.alive_at, s.last_at, c.last_at, n.last_at, a.last_at) AS last_event_at
    FROM t
    CROSS JOIN agent_runs o
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE NOT rollup) AS counts,
               coalesce(sum(input) FILTER (WHERE NOT rollup), 0) AS input,
               coalesce(sum(output) FILTER (WHERE NOT rollup), 0) AS output,
               min(created_at) AS first_at, max(created_at) AS last_at
        FROM agent_token_counts WHERE run_id = o.id
    ) n
    CROSS JOIN LATERAL (
        SELECT min(created_at) AS first_at,
               max(greatest(created_at, CASE WHEN closed_with_run IS NULL THEN ended_at END)) AS last_at
        FROM agent_steps WHERE run_id = o.id
    ) s
    CROSS JOIN LATERAL (
        SELECT min(created_at) AS first_at, max(created_at) AS last_at
        FROM agent_messages WHERE run_id = o.id AND sighting IS NULL
    ) c
    CROSS JOIN LATERAL (
        SELECT min(coalesce(created_at, decided_at)) AS first_at,
               max(greatest(created_at, decided_at)) AS last_at
        FROM approvals WHERE run_id = o.id
    ) a
    WHERE o.id = ANY ($1::uuid[]) AND o.status <> 'running'
) m
WHERE r.id = m.id AND (m.settle_at IS NULL OR r.settle_at = m.settle_at)
  -- Something of the run has changed, though it may not show in these: changed_at is moved on, seldom.
  AND (r.settle_at IS NOT NULL OR r.changed_at IS NULL OR r.changed_at < now() - interval '1 minute'
       OR (r.total_tokens_input, r.total_tokens_output, r.started_at, r.last_event_at)
          IS DISTINCT FROM (m.tokens_input, m.tokens_output, m.started_at, m.last_event_at))
