-- The scopes of these runs, which lock_scopes.sql has locked. Notes them for runs that have stored nothing yet. $1: runs.
WITH clock AS MATERIALIZED (
    SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date AS month
), found AS MATERIALIZED (
    SELECT r.id AS run_id, coalesce(l.scope_id, s.id) AS scope_id, l.run_id IS NULL AS is_new
    FROM agent_runs r
    CROSS JOIN clock c
    LEFT JOIN agent_run_scopes l ON l.run_id = r.id
    LEFT JOIN agent_content_scopes s ON s.session_id = r.session_id AND s.month = c.month
        AND s.owner_id = coalesce(r.tenant_id, r.customer_id, '00000000-0000-0000-0000-000000000000')
    WHERE r.id = ANY ($1::uuid[])
), linked AS (
    INSERT INTO agent_run_scopes (run_id, scope_id)
    SELECT f.run_id, f.scope_id FROM found f WHERE f.is_new AND f.scope_id IS NOT NULL
)
SELECT f.run_id, f.scope_id FROM found f WHERE f.scope_id IS NOT NULL
