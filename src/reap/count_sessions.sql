-- How many rows the sessions $1 have beside those of the runs $2, in the form of delete_in_sessions.sql.
SELECT (SELECT count(*) FROM agent_messages m
        WHERE m.session_id = ANY ($1::uuid[]) AND (m.run_id = ANY ($2::uuid[])) IS NOT TRUE) AS messages,
       (SELECT count(*) FROM approvals a
        WHERE a.session_id = ANY ($1::uuid[]) AND (a.run_id = ANY ($2::uuid[])) IS NOT TRUE) AS approvals,
       (SELECT count(*) FROM agent_sessions WHERE id = ANY ($1::uuid[])) AS sessions
