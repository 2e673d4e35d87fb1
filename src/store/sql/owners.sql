-- Whose the runs and sessions are that events of bound keys name, and the messages
-- that they may move. $1 runs, $2 sessions, $3 messages that name a session.
-- A row is its tenant's; one without is its customer's, a run's also by its session.
-- NULL: it is there and nobody's. Rows that are not there are not returned.
-- A run that is not there is taken all the same once aliases of its steps have come.
SELECT 'run' AS kind, r.id, coalesce(r.tenant_id, r.customer_id, s.tenant_id, s.customer_id) AS owner
FROM agent_runs r
LEFT JOIN agent_sessions s ON s.id = r.session_id
WHERE r.id = ANY ($1::uuid[])
UNION ALL
SELECT 'session', s.id, coalesce(s.tenant_id, s.customer_id)
FROM agent_sessions s
WHERE s.id = ANY ($2::uuid[])
UNION ALL
SELECT 'alias', a.run_id, a.tenant_id
FROM agent_step_aliases a
WHERE a.run_id = ANY ($1::uuid[]) AND a.run_pending
  AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = a.run_id)
UNION ALL
-- A sighting goes with the run that saw it first, in its session, which may have
-- been another customer's then.
SELECT 'message', m.id, coalesce(r.tenant_id, r.customer_id, s.tenant_id, s.customer_id)
FROM agent_messages m
JOIN agent_runs r ON r.id = m.run_id
LEFT JOIN agent_sessions s ON s.id = r.session_id
WHERE m.id = ANY ($3::uuid[]) AND m.sighting
