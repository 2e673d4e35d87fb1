-- The sessions of a subject. $1 what it is (customer, session, user), $2 its id. Also sessions that were erased and came back in
-- the same moment.
SELECT s.id
FROM agent_sessions s
WHERE CASE $1::text
        WHEN 'session' THEN s.id::text = $2::text
        WHEN 'customer' THEN $2::text IN (s.tenant_id::text, s.customer_id::text, s.metadata ->> 'unresolved_customer_id')
        ELSE $2::text IN (s.user_id::text, s.metadata ->> 'unresolved_user_id')
      END
   OR EXISTS (SELECT FROM ingest_tombstones g WHERE g.id = s.id AND g.is_session)
ORDER BY s.id
