-- Whether a run or a session names the customer $1, whom the table of customers does not have, or one was erased for it.
SELECT EXISTS (SELECT FROM agent_runs r WHERE r.metadata ->> 'unresolved_customer_id' = $1::text)
    OR EXISTS (SELECT FROM agent_sessions s WHERE s.metadata ->> 'unresolved_customer_id' = $1)
    OR EXISTS (SELECT FROM ingest_tombstones g
               WHERE g.erased_for = encode(sha256(convert_to('customer:' || $1, 'UTF8')), 'hex'))
