-- Runs that are to be swept or have rows below them that are, and sessions with approvals of no run: of each kind the $1 that have
-- waited longest. It looks at all places, and locks nothing.
(SELECT id FROM public.agent_runs WHERE settle_at <= now() ORDER BY settle_at LIMIT $1)
UNION ALL
(SELECT id FROM public.agent_runs WHERE status = 'running' AND abandon_at < now() ORDER BY abandon_at LIMIT $1)
UNION ALL
(SELECT coalesce(run_id, session_id) FROM public.approvals WHERE status = 'pending' AND expires_at < now() ORDER BY expires_at LIMIT $1)
UNION ALL
(SELECT run_id FROM public.agent_step_aliases
 WHERE run_pending AND created_at < now() - interval '24 hours' ORDER BY created_at LIMIT $1)
