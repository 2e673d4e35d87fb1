-- Merges requests and decisions; each approval at most once.
-- $1 ids, $2 runs, $3 sessions.
-- Of a request: $4 event time (NULL: none), $5 step, $6 action type, $7 description,
-- $8 data, $9 expires_at.
-- Of a decision: $10 status, $11 decided_at (NULL: none), $12 decided by, $13 notes.
-- Of several requests the latest wins, as a whole. Of several decisions the latest wins, then
-- rejected over approved over expired. Any decision wins over the sweeper's "expired". Content
-- breaks ties.
-- What a person approved or rejected, and what that person saw, no event changes. It has no decided_event_at,
-- or another decided_at.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- Returns the approvals that changed, and whether their request and their decision did; those
-- whose id belongs to another run or session (taken); and those that an event changes (due). If
-- an approval is due and did not change, a trigger skips it.
WITH n AS MATERIALIZED (
    SELECT u.id, u.run_id, u.session_id, u.requested_event_at, u.step_id, u.action_type, u.action_description,
           u.action_data::jsonb AS action_data, u.expires_at, u.status, u.decided_at, p.id AS decided_by, u.notes,
           u.decided_by AS named_by,
           CASE WHEN u.decided_by IS NOT NULL AND p.id IS NULL
                THEN jsonb_build_object('unresolved_decided_by', u.decided_by) END AS metadata
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[],
                $8::text[], $9::timestamptz[], $10::text[], $11::timestamptz[], $12::uuid[], $13::text[])
         AS u (id, run_id, session_id, requested_event_at, step_id, action_type, action_description,
               action_data, expires_at, status, decided_at, decided_by, notes)
    LEFT JOIN users p ON p.id = u.decided_by
), inserted AS (
    INSERT INTO approvals (
        id, session_id, action_type, action_description, action_data, status, decided_by, decided_at, notes,
        created_at, expires_at, run_id, step_id, metadata, requested_event_at, decided_event_at)
    SELECT id, session_id, coalesce(action_type, 'unknown'), action_description, action_data,
           coalesce(status, 'pending'), decided_by, decided_at, notes,
           requested_event_at, expires_at, run_id, step_id, metadata, requested_event_at, decided_at
    FROM n
    ORDER BY id
    ON CONFLICT ON CONSTRAINT approvals_pkey DO NOTHING
    RETURNING id
), judged AS (
    SELECT n.*,
           n.requested_event_at IS NOT NULL AND (o.requested_event_at IS NULL OR record_gt(
               ROW(n.requested_event_at, n.session_id, n.step_id,
                   ARRAY[n.action_type, n.action_description, n.action_data::text] COLLATE "C", n.expires_at),
               ROW(o.requested_event_at, o.session_id, o.step_id,
                   ARRAY[o.action_type, o.action_description, o.action_data::text] COLLATE "C", o.expires_at)))
               AS request_wins,
           n.decided_at IS NOT NULL AND (o.decided_at IS NULL OR record_gt(
               ROW(n.decided_at, array_position('{expired,approved,rejected}', n.status),
                   ARRAY[n.named_by::text, n.notes] COLLATE "C"),
               ROW(o.decided_at, array_position('{expired,approved,rejected}', o.status),
                   ARRAY[coalesce(o.decided_by::text, o.metadata ->> 'unresolved_decided_by'), o.notes] COLLATE "C")))
               AS decision_wins,
           -- Until a request arrives, the session is the greatest one that a decision names.
           n.requested_event_at IS NULL AND o.requested_event_at IS NULL
               AND n.session_id IS NOT NULL
               AND (o.session_id IS NULL OR n.session_id > o.session_id) AS session_wins
    FROM n
    JOIN approvals o ON o.id = n.id
    WHERE o.run_id IS NOT DISTINCT FROM n.run_id
      AND (n.run_id IS NOT NULL OR o.session_id = n.session_id)
      AND NOT (o.status IN ('approved', 'rejected') AND o.decided_event_at IS DISTINCT FROM o.decided_at)
), updated AS (
    UPDATE approvals AS a
    SET session_id = CASE WHEN j.request_wins OR j.session_wins THEN j.session_id ELSE a.session_id END,
        step_id = CASE WHEN j.request_wins THEN j.step_id ELSE a.step_id END,
        action_type = CASE WHEN j.request_wins THEN j.action_type ELSE a.action_type END,
        action_description = CASE WHEN j.request_wins THEN j.action_description ELSE a.action_description END,
        action_data = CASE WHEN j.request_wins THEN j.action_data ELSE a.action_data END,
        expires_at = CASE WHEN j.request_wins THEN j.expires_at ELSE a.expires_at END,
        created_at = CASE WHEN j.request_wins THEN j.requested_event_at ELSE a.created_at END,
        requested_event_at = CASE WHEN j.request_wins THEN j.requested_event_at ELSE a.requested_event_at END,
        status = CASE WHEN j.decision_wins THEN j.status
                      WHEN a.decided_at IS NULL THEN 'pending'
                      ELSE a.status END,
        decided_at = CASE WHEN j.decision_wins THEN j.decided_at ELSE a.decided_at END,
        decided_by = CASE WHEN j.decision_wins THEN j.decided_by ELSE a.decided_by END,
        decided_event_at = CASE WHEN j.decision_wins THEN j.decided_at ELSE a.decided_event_at END,
        notes = CASE WHEN j.decision_wins THEN j.notes ELSE a.notes END,
        metadata = CASE WHEN j.decision_wins THEN j.metadata ELSE a.metadata END
    FROM judged j
    WHERE a.id = j.id AND (j.request_wins OR j.decision_wins OR j.session_wins)
    RETURNING a.id, j.request_wins, j.decision_wins OR j.session_wins AS decision_wins
)
SELECT id, true AS request_changed, true AS decision_changed, false AS taken, false AS due FROM inserted
UNION ALL
SELECT id, request_wins, decision_wins, false, false FROM updated
UNION ALL
SELECT id, false, false, false, true FROM judged
WHERE request_wins OR decision_wins OR session_wins
UNION ALL
SELECT n.id, false, false, true, false
FROM n JOIN approvals o ON o.id = n.id
WHERE o.run_id IS DISTINCT FROM n.run_id OR (o.run_id IS NULL AND o.session_id IS DISTINCT FROM n.session_id)
