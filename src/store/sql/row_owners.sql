-- Returns the runs and sessions that own rows. $1 steps, $2 messages, $3 token counts,
-- $4 approvals, $5 scores.
SELECT 'step' AS kind, id, run_id, NULL::uuid AS session_id, false AS sighting
FROM agent_steps WHERE id = ANY ($1::uuid[])
UNION ALL
SELECT 'message', id, run_id, session_id, sighting IS TRUE
FROM agent_messages WHERE id = ANY ($2::uuid[])
UNION ALL
SELECT 'token_count', id, run_id, NULL, false
FROM agent_token_counts WHERE id = ANY ($3::uuid[])
UNION ALL
SELECT 'approval', id, run_id, session_id, false
FROM approvals WHERE id = ANY ($4::uuid[])
UNION ALL
SELECT 'score', id, run_id, NULL, false
FROM agent_scores WHERE id = ANY ($5::uuid[])
