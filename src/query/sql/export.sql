-- The events of a run in order. kind and id name each of them.
SELECT e.part, e.kind, e.at, e.id, e.event::text AS event
FROM (
  SELECT 0 AS part, 0 AS kind, s.created_at AS at, s.id, json_build_object(
    'time', zulu.text,
    'sessionUpsert', json_build_object(
      'sessionId', s.id, 'customerId', s.customer_id, 'userId', s.user_id, 'title', s.title,
      'externalId', s.external_id, 'metadataJson', s.metadata
    )
  ) AS event
  FROM agent_sessions AS s
  CROSS JOIN LATERAL (SELECT to_char(coalesce(s.created_at, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS text) AS zulu
  WHERE s.id = (SELECT r.session_id FROM agent_runs AS r WHERE r.id = $1::uuid)
  UNION ALL
  SELECT 1, 1, r.started_at, r.id, json_build_object(
    'time', to_char(coalesce(r.started_at, r.last_event_at, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'runStarted', json_build_object(
      'runId', r.id, 'sessionId', r.session_id, 'parentRunId', r.parent_run_id, 'customerId', r.customer_id,
      'agentId', r.agent_id, 'agentType', r.agent_type, 'name', r.name, 'input', r.input,
      'metadataJson', r.metadata, 'timeout', (r.timeout_ms / 1000.0)::numeric(20, 3) || 's'
    )
  )
  FROM agent_runs AS r
  WHERE r.id = $1::uuid
  UNION ALL
  SELECT 2, 2, s.created_at, s.id, json_build_object(
    'time', to_char((CASE WHEN closed.own THEN coalesce(s.ended_at, s.created_at) ELSE coalesce(s.started_at, s.created_at) END)
      AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    CASE WHEN closed.own THEN 'stepEnded' ELSE 'stepStarted' END,
    CASE WHEN closed.own THEN json_build_object(
      'stepId', s.id, 'runId', s.run_id, 'details', details.details,
      'status', 'END_STATUS_' || upper(s.status),
      'outputJson', CASE WHEN jsonb_typeof(sent.output) IN ('string', 'null') THEN to_json(sent.output::text) ELSE sent.output::json END,
      'error', s.error,
      'startedAt', to_char(s.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'durationMs', CASE WHEN s.duration_reported THEN s.duration_ms END
    ) ELSE json_build_object('stepId', s.id, 'runId', s.run_id, 'details', details.details) END
  )
  FROM agent_steps AS s
  CROSS JOIN LATERAL (
    -- A step that its run's end closed has no end of its own.
    SELECT s.status IN ('completed', 'failed') AND s.closed_with_run IS NOT TRUE AS own
  ) AS closed
  CROSS JOIN LATERAL (
    -- OFFSET 0: each is put together once.
    SELECT public.content_value(s.run_id, s.input) AS input, public.content_value(s.run_id, s.output) AS output
    OFFSET 0
  ) AS sent
  CROSS JOIN LATERAL (
    SELECT json_build_object(
      'stepType', 'STEP_TYPE_' || upper(coalesce(s.step_type, 'other')), 'kind', s.kind, 'name', s.name,
      'parentStepId', s.parent_step_id, 'model', s.model,
      'inputJson', CASE WHEN jsonb_typeof(sent.input) IN ('string', 'null') THEN to_json(sent.input::text) ELSE sent.input::json END,
      'metadataJson', s.metadata
    ) AS details
  ) AS details
  WHERE s.run_id = $1::uuid
  UNION ALL
  SELECT 2, 3, m.created_at, m.id, json_build_object(
    'time', to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'messageAppended', json_build_object(
      'messageId', m.id, 'runId', m.run_id, 'sessionId', m.session_id, 'stepId', m.step_id,
      'role', 'MESSAGE_ROLE_' || upper(coalesce(m.role, 'user')), 'content', m.content, 'thinking', m.thinking,
      'toolCallsJson', CASE WHEN jsonb_typeof(m.tool_calls) IN ('string', 'null') THEN to_json(m.tool_calls::text) ELSE m.tool_calls::json END,
      'metadataJson', m.metadata, 'seq', m.seq
    )
  )
  FROM agent_messages AS m
  WHERE m.run_id = $1::uuid
  UNION ALL
  SELECT 2, 4, c.created_at, c.id, json_build_object(
    'time', to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'tokenCount', json_build_object(
      'tokenCountId', c.id, 'runId', c.run_id, 'stepId', c.step_id, 'model', c.model, 'input', c.input, 'output', c.output,
      'cacheRead', c.cache_read, 'cacheWrite', c.cache_write, 'reasoning', c.reasoning, 'rollup', c.rollup
    )
  )
  FROM agent_token_counts AS c
  WHERE c.run_id = $1::uuid
  UNION ALL
  SELECT 2, 5, c.created_at, c.id, json_build_object(
    'time', to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'scoreAdded', json_build_object(
      'scoreId', c.id, 'runId', c.run_id, 'stepId', c.step_id, 'name', c.name, 'value', c.value, 'label', c.label,
      'comment', c.comment, 'source', c.source, 'metadataJson', c.metadata
    )
  )
  FROM agent_scores AS c
  WHERE c.run_id = $1::uuid
  UNION ALL
  SELECT 2, 6, a.created_at, a.id, json_build_object(
    'time', to_char(coalesce(a.created_at, a.decided_at, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'approvalRequested', json_build_object(
      'approvalId', a.id, 'runId', a.run_id, 'sessionId', a.session_id, 'stepId', a.step_id,
      'actionType', a.action_type, 'actionDescription', a.action_description,
      'actionDataJson', CASE WHEN jsonb_typeof(a.action_data) IN ('string', 'null') THEN to_json(a.action_data::text) ELSE a.action_data::json END,
      'expiresAt', to_char(a.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    )
  )
  FROM approvals AS a
  WHERE a.run_id = $1::uuid
  UNION ALL
  SELECT 3, 7, a.decided_at, a.id, json_build_object(
    'time', to_char(coalesce(a.decided_at, a.expires_at, a.created_at, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'approvalDecided', json_build_object(
      'approvalId', a.id, 'runId', a.run_id, 'sessionId', a.session_id, 'status', 'APPROVAL_STATUS_' || upper(a.status),
      'decidedBy', a.decided_by, 'notes', a.notes
    )
  )
  FROM approvals AS a
  WHERE a.run_id = $1::uuid AND a.status IN ('approved', 'rejected', 'expired')
  UNION ALL
  SELECT 4, 8, r.ended_at, r.id, json_build_object(
    'time', to_char(coalesce(r.ended_at, r.last_event_at, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'runEnded', json_build_object(
      'runId', r.id, 'status', 'END_STATUS_' || upper(r.status), 'output', r.output, 'error', r.error,
      'reportedTokensInput', r.reported_tokens_input, 'reportedTokensOutput', r.reported_tokens_output,
      'metadataJson', r.end_metadata
    )
  )
  FROM agent_runs AS r
  WHERE r.id = $1::uuid AND r.status IN ('completed', 'failed')
) AS e
ORDER BY e.part, e.at, e.id
