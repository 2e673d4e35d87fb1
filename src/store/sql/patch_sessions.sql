-- Merges session upserts, at most one per session; the rows exist and are locked.
-- $1 ids, $2 the latest event times, $3 customers, $4 users, $5 titles, $6 external ids,
-- $7 metadata, $8 to $12 the event times of $3 to $7.
-- Each field is merged alone: the latest event that sets it wins, and the value breaks ties.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- merge_times holds the event times of the fields, in the order of $3 to $7.
-- Ids of customers and users that do not exist are stored in metadata instead.
-- Returns the sessions that an event changes, and whether they changed; and those that do not
-- exist. If a session did not change or does not exist, a trigger skips it.
WITH n AS MATERIALIZED (
    SELECT u.id, u.at, u.customer_id, u.user_id, u.title, u.external_id, u.customer_at, u.user_at, u.title_at,
           u.external_id_at, u.metadata_at,
           u.metadata::jsonb - '{unresolved_customer_id,unresolved_user_id}'::text[] AS metadata,
           EXISTS (SELECT FROM public.known_customer(u.customer_id)) AS customer_known,
           EXISTS (SELECT FROM users p WHERE p.id = u.user_id) AS user_known
    FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])
         AS u (id, at, customer_id, user_id, title, external_id, metadata,
               customer_at, user_at, title_at, external_id_at, metadata_at)
), m AS MATERIALIZED (
    SELECT n.*, w.*
    FROM n
    JOIN agent_sessions o ON o.id = n.id
    CROSS JOIN LATERAL (
        SELECT o.metadata - '{unresolved_customer_id,unresolved_user_id}'::text[] AS old_metadata,
               coalesce(o.customer_id::text, o.metadata ->> 'unresolved_customer_id') AS old_customer,
               coalesce(o.user_id::text, o.metadata ->> 'unresolved_user_id') AS old_user
    ) v
    CROSS JOIN LATERAL (
        SELECT v.old_metadata,
               o.merge_times IS NULL OR n.at > o.updated_at AS later,
               n.customer_id IS NOT NULL AND (o.merge_times[1] IS NULL
                   OR record_gt(ROW(n.customer_at, n.customer_id::text COLLATE "C"),
                                ROW(o.merge_times[1], v.old_customer COLLATE "C")))
                   AS customer_wins,
               n.user_id IS NOT NULL AND (o.merge_times[2] IS NULL
                   OR record_gt(ROW(n.user_at, n.user_id::text COLLATE "C"),
                                ROW(o.merge_times[2], v.old_user COLLATE "C")))
                   AS user_wins,
               n.title IS NOT NULL AND (o.merge_times[3] IS NULL
                   OR record_gt(ROW(n.title_at, n.title COLLATE "C"), ROW(o.merge_times[3], o.title COLLATE "C")))
                   AS title_wins,
               n.external_id IS NOT NULL AND (o.merge_times[4] IS NULL
                   OR record_gt(ROW(n.external_id_at, n.external_id COLLATE "C"),
                                ROW(o.merge_times[4], o.external_id COLLATE "C")))
                   AS external_id_wins,
               n.metadata IS NOT NULL AND (o.merge_times[5] IS NULL
                   OR record_gt(ROW(n.metadata_at, nullif(n.metadata, '{}')::text COLLATE "C"),
                                ROW(o.merge_times[5], nullif(v.old_metadata, '{}')::text COLLATE "C")))
                   AS metadata_wins
    ) w
), updated AS (
    UPDATE agent_sessions AS s
    SET customer_id = CASE WHEN m.customer_wins
                           THEN CASE WHEN m.customer_known THEN m.customer_id END ELSE s.customer_id END,
        user_id = CASE WHEN m.user_wins
                       THEN CASE WHEN m.user_known THEN m.user_id END ELSE s.user_id END,
        title = CASE WHEN m.title_wins THEN m.title ELSE s.title END,
        external_id = CASE WHEN m.external_id_wins THEN m.external_id ELSE s.external_id END,
        metadata = nullif(
            coalesce(CASE WHEN m.metadata_wins THEN m.metadata ELSE m.old_metadata END, '{}')
            || jsonb_strip_nulls(jsonb_object('{unresolved_customer_id,unresolved_user_id}', ARRAY[
                CASE WHEN m.customer_wins
                    THEN CASE WHEN m.customer_known THEN NULL ELSE m.customer_id::text END
                    ELSE s.metadata ->> 'unresolved_customer_id' END,
                CASE WHEN m.user_wins
                    THEN CASE WHEN m.user_known THEN NULL ELSE m.user_id::text END
                    ELSE s.metadata ->> 'unresolved_user_id' END])),
            '{}'),
        merge_times = ARRAY[
            CASE WHEN m.customer_wins THEN m.customer_at ELSE s.merge_times[1] END,
            CASE WHEN m.user_wins THEN m.user_at ELSE s.merge_times[2] END,
            CASE WHEN m.title_wins THEN m.title_at ELSE s.merge_times[3] END,
            CASE WHEN m.external_id_wins THEN m.external_id_at ELSE s.merge_times[4] END,
            CASE WHEN m.metadata_wins THEN m.metadata_at ELSE s.merge_times[5] END],
        updated_at = CASE WHEN s.merge_times IS NULL THEN m.at ELSE greatest(s.updated_at, m.at) END,
        changed_at = now()
    FROM m
    WHERE s.id = m.id
      AND (m.later OR m.customer_wins OR m.user_wins OR m.title_wins OR m.external_id_wins OR m.metadata_wins)
    RETURNING s.id
)
SELECT id, true AS changed FROM updated
UNION ALL
SELECT id, false FROM m
WHERE m.later OR m.customer_wins OR m.user_wins OR m.title_wins OR m.external_id_wins OR m.metadata_wins
UNION ALL
SELECT n.id, false FROM n
WHERE NOT EXISTS (SELECT FROM agent_sessions o WHERE o.id = n.id)
