-- The sessions of a subject. $1 what it is (customer, session, user), $2 the spellings of its id, $3 whether that is a UUID, in lower
-- case, $4 its mark in tombstones, $5 the customer that they belong to (NULL: any), $6 and $7 its sessions on other servers of the store,
-- and whose they are: another customer's session may have the id of one. Also sessions that were erased for it and came back in the same
-- moment.
SELECT s.id, c.owner
FROM agent_sessions s
CROSS JOIN LATERAL (
    SELECT ARRAY[s.tenant_id::text, s.customer_id::text, s.metadata ->> 'unresolved_customer_id'] AS customers,
           coalesce(s.tenant_id::text, s.customer_id::text, s.metadata ->> 'unresolved_customer_id') AS owner
) c
WHERE ($5::text[] IS NULL OR $5 && c.customers)
  AND CASE $1::text
        WHEN 'session' THEN s.id::text = ANY ($2::text[])
        WHEN 'customer' THEN $2::text[] && c.customers
        ELSE $2::text[] && ARRAY[s.user_id::text, s.metadata ->> 'unresolved_user_id',
                                 CASE WHEN $3::boolean THEN lower(s.metadata ->> 'user') ELSE s.metadata ->> 'user' END]
      END
   OR EXISTS (SELECT FROM ingest_tombstones g WHERE g.id = s.id AND g.is_session AND g.erased_for = $4::text)
   OR (s.id, c.owner) IN (SELECT f.id, f.owner FROM unnest($6::uuid[], $7::text[]) AS f (id, owner))
   OR s.id IN (SELECT f.id FROM unnest($6::uuid[], $7::text[]) AS f (id, owner) WHERE f.owner IS NULL OR c.owner IS NULL)
ORDER BY s.id
