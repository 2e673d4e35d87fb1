-- How many rows the sessions $1 have that belong to no run of these sessions, in the form of delete_sessions.sql.
SELECT (SELECT count(*) FROM agent_messages m
        WHERE m.session_id = ANY ($1::uuid[])
          AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = m.run_id AND r.session_id = ANY ($1::uuid[]))) AS messages,
       (SELECT count(*) FROM approvals a
        WHERE a.session_id = ANY ($1::uuid[])
          AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = a.run_id AND r.session_id = ANY ($1::uuid[]))) AS approvals,
       (SELECT count(*) FROM agent_sessions WHERE id = ANY ($1::uuid[])) AS sessions
