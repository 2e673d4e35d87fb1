-- Deletes those of the locked sessions $1 that nothing refers to any more.
DELETE FROM agent_sessions s
WHERE s.id = ANY ($1::uuid[])
  AND NOT EXISTS (SELECT FROM public.agent_runs r WHERE r.session_id = s.id)
  AND NOT EXISTS (SELECT FROM public.agent_messages m WHERE m.session_id = s.id)
  AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.session_id = s.id)
