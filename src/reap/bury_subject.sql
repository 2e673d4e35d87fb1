-- Notes the sessions $1 and the runs $2 as erased for the subject with the mark $3, all at once: whatever is interrupted after
-- this, another erase finds them, and what they started.
INSERT INTO ingest_tombstones AS g (id, is_session, erased_for)
SELECT n.id, n.is_session, $3::text
FROM (SELECT s.id, true AS is_session FROM unnest($1::uuid[]) AS s (id)
      UNION
      SELECT r.id, false FROM unnest($2::uuid[]) AS r (id)) AS n
ORDER BY n.id, n.is_session
ON CONFLICT (id, is_session) DO UPDATE SET at = excluded.at, erased_for = excluded.erased_for
