-- Deletes those of the rows $1 that are messages, and takes the user out of the metadata of those that are steps or scores; scores also lose
-- the comment. $2 to $4 as in mentions.sql. Returns how many these are. Their runs are locked.
WITH steps AS (
    UPDATE agent_steps t
    SET metadata = nullif(t.metadata - ARRAY(
        SELECT (p.path::text[])[1]
        FROM unnest($2::text[]) AS p (path)
        CROSS JOIN LATERAL (SELECT t.metadata #>> p.path::text[] AS name) n
        WHERE CASE WHEN $3::boolean THEN lower(n.name) ELSE n.name END = ANY ($4::text[])), '{}')
    WHERE t.id = ANY ($1::uuid[])
    RETURNING 1
), scores AS (
    UPDATE agent_scores t
    SET comment = NULL, metadata = nullif(t.metadata - ARRAY(
        SELECT (p.path::text[])[1]
        FROM unnest($2::text[]) AS p (path)
        CROSS JOIN LATERAL (SELECT t.metadata #>> p.path::text[] AS name) n
        WHERE CASE WHEN $3::boolean THEN lower(n.name) ELSE n.name END = ANY ($4::text[])), '{}')
    WHERE t.id = ANY ($1::uuid[])
    RETURNING 1
), messages AS (
    DELETE FROM agent_messages WHERE id = ANY ($1::uuid[]) RETURNING 1
)
SELECT (SELECT count(*) FROM messages) AS messages,
       (SELECT count(*) FROM steps) + (SELECT count(*) FROM scores) AS stay
