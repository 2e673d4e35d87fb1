-- For tenant events whose id is taken by a row of another run or session: returns the ids whose
-- row belongs to the event's own customer (as in owners.sql). Only these conflicts are reported to the client.
-- $1 ids, $2 customers.
SELECT n.id, n.customer
FROM unnest($1::uuid[], $2::uuid[]) AS n (id, customer)
JOIN LATERAL (
    SELECT s.run_id, NULL::uuid AS session_id FROM agent_steps s WHERE s.id = n.id
    UNION ALL
    SELECT t.run_id, NULL FROM agent_token_counts t WHERE t.id = n.id
    UNION ALL
    SELECT m.run_id, m.session_id FROM agent_messages m WHERE m.id = n.id
    UNION ALL
    SELECT a.run_id, a.session_id FROM approvals a WHERE a.id = n.id
    UNION ALL
    SELECT c.run_id, NULL FROM agent_scores c WHERE c.id = n.id
) o ON true
LEFT JOIN agent_runs r ON r.id = o.run_id
LEFT JOIN agent_sessions rs ON rs.id = r.session_id
LEFT JOIN agent_sessions os ON os.id = o.session_id
GROUP BY n.id, n.customer
-- A step, a message, a token count, an approval and a score may share an id: all must be the customer's.
HAVING bool_and(n.customer IS NOT DISTINCT FROM CASE
    WHEN o.run_id IS NOT NULL THEN coalesce(r.tenant_id, r.customer_id, rs.tenant_id,
        CASE WHEN rs.merge_times[1] IS NOT NULL THEN rs.customer_id END)
    ELSE coalesce(os.tenant_id, CASE WHEN os.merge_times[1] IS NOT NULL THEN os.customer_id END) END)
