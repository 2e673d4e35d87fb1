-- How many rows the runs $1 have, in the form of delete_runs.sql.
SELECT (SELECT count(*) FROM agent_runs WHERE id = ANY ($1::uuid[])) AS runs,
       (SELECT count(*) FROM agent_steps WHERE run_id = ANY ($1::uuid[])) AS steps,
       (SELECT count(*) FROM agent_contents WHERE run_id = ANY ($1::uuid[])) AS contents,
       (SELECT count(*) FROM agent_messages WHERE run_id = ANY ($1::uuid[])) AS messages,
       (SELECT count(*) FROM agent_token_counts WHERE run_id = ANY ($1::uuid[])) AS token_counts,
       (SELECT count(*) FROM agent_scores WHERE run_id = ANY ($1::uuid[])) AS scores,
       (SELECT count(*) FROM agent_step_aliases WHERE run_id = ANY ($1::uuid[])) AS aliases,
       (SELECT count(*) FROM approvals WHERE run_id = ANY ($1::uuid[])) AS approvals
