-- Those of the runs $1 that may go because a dead letter says that the subject starts them. $2 the customer of the key of each letter (NULL:
-- no key), $3 the customer whose letter it says to be (NULL: nobody's), $4 the customers of the subject. A refused letter proves nothing: a run
-- that is there goes only if it belongs to whoever sent the letter. A run that was only old keeps its tombstone as it is: nobody knows any
-- more whose it was.
SELECT DISTINCT n.id
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (id, tenant, owner)
LEFT JOIN agent_runs r ON r.id = n.id
CROSS JOIN LATERAL (
    SELECT coalesce(r.tenant_id::text, r.customer_id::text, r.metadata ->> 'unresolved_customer_id') AS owner
) o
WHERE CASE
    WHEN r.id IS NULL THEN NOT EXISTS (
        SELECT FROM ingest_tombstones g WHERE g.id = n.id AND NOT g.is_session AND g.erased_for IS NULL)
    WHEN o.owner IS NULL THEN n.tenant IS NULL
    ELSE o.owner = n.owner OR n.owner IS NULL AND o.owner = ANY ($4::text[])
END
