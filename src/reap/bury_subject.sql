-- Notes the sessions ($2) or runs $1 as erased for the subject with the mark $3, before any of them is deleted: whatever is
-- interrupted after this, another erase finds them, and what they started.
INSERT INTO ingest_tombstones AS g (id, is_session, erased_for)
SELECT n.id, $2::boolean, $3::text FROM unnest($1::uuid[]) AS n (id) ORDER BY n.id
ON CONFLICT (id, is_session) DO UPDATE SET at = excluded.at, erased_for = coalesce(g.erased_for, excluded.erased_for)
