-- Which of these contents are stored: their positions. $1 runs, $2 hashes.
-- The transaction has the lock of each run, so none is added meanwhile.
SELECT u.position
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS u (run_id, hash, position)
JOIN agent_contents c ON c.run_id = u.run_id AND c.hash = u.hash
