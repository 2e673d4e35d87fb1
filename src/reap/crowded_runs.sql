-- Those of the runs $1 whose contents one transaction does not delete: each that has more than $2, and those behind so many runs
-- that they have more than $3 together. `large`: it is one of the first. Contents may be many more than the other rows of a run.
SELECT c.id, c.contents > $2::bigint AS large
FROM (
    SELECT n.id, b.contents, sum(CASE WHEN b.contents <= $2::bigint THEN b.contents END) OVER (ORDER BY n.position) AS together
    FROM unnest($1::uuid[]) WITH ORDINALITY AS n (id, position)
    CROSS JOIN LATERAL (
        SELECT count(*) AS contents
        FROM (SELECT FROM agent_contents WHERE run_id = n.id LIMIT $2::bigint + 1) AS one
    ) AS b
) AS c
WHERE c.contents > $2::bigint OR c.together > $3::bigint
