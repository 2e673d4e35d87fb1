-- Locks the scopes in which these runs share contents, and makes those that are missing. Returns the new ones. $1: runs.
-- A run that has stored contents keeps its scope. Others are in the scope of their session, owner and this month.
-- The conflict locks a row that is there, and changes nothing. Locks are taken in one order, after those of runs and sessions.
WITH clock AS MATERIALIZED (
    SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date AS month
), wanted AS MATERIALIZED (
    SELECT coalesce(o.session_id, r.session_id) AS session_id,
           coalesce(o.owner_id, r.tenant_id, r.customer_id, '00000000-0000-0000-0000-000000000000') AS owner_id,
           coalesce(o.month, c.month) AS month
    FROM agent_runs r
    CROSS JOIN clock c
    LEFT JOIN agent_run_scopes l ON l.run_id = r.id
    LEFT JOIN agent_content_scopes o ON o.id = l.scope_id
    WHERE r.id = ANY ($1::uuid[])
)
INSERT INTO agent_content_scopes AS s (session_id, owner_id, month)
SELECT DISTINCT w.session_id, w.owner_id, w.month FROM wanted w WHERE w.session_id IS NOT NULL
ORDER BY 1, 2, 3
ON CONFLICT ON CONSTRAINT agent_content_scopes_key DO UPDATE SET month = s.month WHERE false
RETURNING s.id
