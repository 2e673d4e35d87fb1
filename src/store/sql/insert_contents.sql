-- Inserts contents, where COPY is forbidden. Returns their number: none of them is stored, as
-- find_contents.sql has found.
WITH new AS MATERIALIZED (
    SELECT u.holder, u.shared, u.hash, u.kind, u.prev, u.part, u.name, u.body::jsonb AS body
    FROM unnest($1::uuid[], $2::boolean[], $3::uuid[], $4::smallint[], $5::uuid[], $6::uuid[], $7::text[], $8::text[])
         AS u (holder, shared, hash, kind, prev, part, name, body)
), inserted AS (
    INSERT INTO agent_contents (run_id, hash, kind, prev, part, name, body)
    SELECT n.holder, n.hash, n.kind, n.prev, n.part, n.name, n.body FROM new n WHERE NOT n.shared
    ON CONFLICT ON CONSTRAINT agent_contents_pkey DO NOTHING
    RETURNING hash
), inserted_shared AS (
    INSERT INTO agent_shared_contents (scope_id, hash, kind, prev, part, name, body)
    SELECT n.holder, n.hash, n.kind, n.prev, n.part, n.name, n.body FROM new n WHERE n.shared
    ON CONFLICT ON CONSTRAINT agent_shared_contents_pkey DO NOTHING
    RETURNING hash
)
SELECT (SELECT count(*) FROM inserted) + (SELECT count(*) FROM inserted_shared)
