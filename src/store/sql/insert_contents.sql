-- Inserts contents, where COPY is forbidden. Returns their number: none of them is stored, as
-- find_contents.sql has found.
WITH inserted AS (
    INSERT INTO agent_contents (run_id, hash, kind, prev, part, name, body)
    SELECT u.run_id, u.hash, u.kind, u.prev, u.part, u.name, u.body::jsonb
    FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::uuid[], $6::text[], $7::text[])
         AS u (run_id, hash, kind, prev, part, name, body)
    ON CONFLICT ON CONSTRAINT agent_contents_pkey DO NOTHING
    RETURNING hash
)
SELECT count(*) FROM inserted
