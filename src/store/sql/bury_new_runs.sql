-- Notes those of the runs $1 that do not exist as deleted, and returns them.
WITH absent AS MATERIALIZED (
    SELECT n.id FROM unnest($1::uuid[]) AS n (id) WHERE NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = n.id)
), noted AS (
    INSERT INTO ingest_tombstones (id) SELECT a.id FROM absent a ORDER BY a.id ON CONFLICT DO NOTHING
)
SELECT id FROM absent
