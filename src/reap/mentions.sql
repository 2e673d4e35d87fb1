-- Steps, messages and scores whose metadata names the user. $1 the keys below which metadata names users, $2 the paths, $3 whether the id is a
-- UUID, in lower case, $4 its spellings, $5 the customer that the rows belong to (NULL: any). It reads the tables once; few rows have such a key.
SELECT m.id, m.run_id, m.session_id, m.is_message, o.owner
FROM (
    SELECT id, run_id, NULL::uuid AS session_id, metadata, false AS is_message FROM agent_steps
    UNION ALL
    SELECT id, run_id, NULL, metadata, false FROM agent_scores
    UNION ALL
    SELECT id, run_id, session_id, metadata, true FROM agent_messages
) m
LEFT JOIN agent_runs r ON r.id = m.run_id
LEFT JOIN agent_sessions s ON s.id = coalesce(r.session_id, m.session_id)
CROSS JOIN LATERAL (
    SELECT coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id',
                    s.tenant_id::text, s.customer_id::text, s.metadata ->> 'unresolved_customer_id') AS owner
) o
WHERE m.metadata ?| $1::text[]
  AND EXISTS (
      SELECT FROM unnest($2::text[]) AS place (path)
      CROSS JOIN LATERAL (SELECT m.metadata #>> place.path::text[] AS name) n
      WHERE CASE WHEN $3::boolean THEN lower(n.name) ELSE n.name END = ANY ($4::text[]))
  AND ($5::text[] IS NULL OR o.owner = ANY ($5))
