-- Returns the owners of the runs and sessions that tenant events name, and of the messages that
-- they may move. $1 runs, $2 sessions, $3 messages that name a session.
-- The owner of a row is its tenant_id, otherwise its customer_id; of a run otherwise that of its
-- session. The customer_id of a session counts only if an event set it (merge_times[1]), because
-- users may insert sessions. NULL: the row exists and has no owner. A row that does not exist is
-- not returned, except a run that only aliases name: it belongs to the tenant of the aliases.
-- A run may be in another slot (public): some are the parents of others.
SELECT 'run' AS kind, r.id,
       coalesce(r.tenant_id, r.customer_id, s.tenant_id,
                CASE WHEN s.merge_times[1] IS NOT NULL THEN s.customer_id END) AS owner
FROM public.agent_runs r
LEFT JOIN agent_sessions s ON s.id = r.session_id
WHERE r.id = ANY ($1::uuid[])
UNION ALL
SELECT 'session', s.id, coalesce(s.tenant_id, CASE WHEN s.merge_times[1] IS NOT NULL THEN s.customer_id END)
FROM agent_sessions s
WHERE s.id = ANY ($2::uuid[])
UNION ALL
SELECT 'alias', n.id, a.tenant_id
FROM unnest($1::uuid[]) AS n (id)
-- All aliases of a run that does not exist yet have one owner.
CROSS JOIN LATERAL (
    SELECT tenant_id FROM public.agent_step_aliases WHERE run_id = n.id AND run_pending LIMIT 1
) a
WHERE NOT EXISTS (SELECT FROM public.agent_runs r WHERE r.id = n.id)
UNION ALL
-- A sighting belongs to the run that saw it first, and the session may have belonged to another
-- customer at that time.
SELECT 'message', m.id,
       coalesce(r.tenant_id, r.customer_id, s.tenant_id,
                CASE WHEN s.merge_times[1] IS NOT NULL THEN s.customer_id END)
FROM agent_messages m
JOIN agent_runs r ON r.id = m.run_id
LEFT JOIN agent_sessions s ON s.id = r.session_id
WHERE m.id = ANY ($3::uuid[]) AND m.sighting
