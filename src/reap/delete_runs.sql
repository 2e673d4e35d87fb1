-- Deletes the rows below runs, and notes that the runs are gone. All deletions of runs go through here: retention, prune and
-- erase. $1 runs, which are locked; $2 how many rows of a table at most (NULL: all). The caller deletes the runs themselves when
-- nothing is left below them. Returns how many rows went. The run is looked at again: a message that moves to another run
-- meanwhile stays.
WITH graves AS (
    INSERT INTO ingest_tombstones (id)
    SELECT n.id FROM unnest($1::uuid[]) AS n (id) ORDER BY n.id
    ON CONFLICT (id, is_session) DO UPDATE SET at = excluded.at
), steps AS (
    DELETE FROM agent_steps
    WHERE id = ANY (ARRAY(SELECT id FROM agent_steps WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint)) AND run_id = ANY ($1::uuid[])
    RETURNING 1
), contents AS (
    DELETE FROM agent_contents
    WHERE run_id = ANY ($1::uuid[]) AND $2::bigint IS NULL
    RETURNING 1
), some_contents AS (
    -- The key is run and hash: each hash is looked up in each run, so $1 is one run if $2 is not NULL.
    DELETE FROM agent_contents
    WHERE run_id = ANY ($1::uuid[]) AND $2::bigint IS NOT NULL
      AND hash = ANY (ARRAY(SELECT hash FROM agent_contents WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), messages AS (
    DELETE FROM agent_messages
    WHERE id = ANY (ARRAY(SELECT id FROM agent_messages WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint)) AND run_id = ANY ($1::uuid[])
    RETURNING 1
), counts AS (
    DELETE FROM agent_token_counts
    WHERE id = ANY (ARRAY(SELECT id FROM agent_token_counts WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint)) AND run_id = ANY ($1::uuid[])
    RETURNING 1
), scores AS (
    DELETE FROM agent_scores
    WHERE id = ANY (ARRAY(SELECT id FROM agent_scores WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint)) AND run_id = ANY ($1::uuid[])
    RETURNING 1
), aliases AS (
    DELETE FROM agent_step_aliases
    WHERE run_id = ANY ($1::uuid[]) AND $2::bigint IS NULL
    RETURNING 1
), some_aliases AS (
    -- By key, as contents.
    DELETE FROM agent_step_aliases
    WHERE run_id = ANY ($1::uuid[]) AND $2::bigint IS NOT NULL
      AND id = ANY (ARRAY(SELECT id FROM agent_step_aliases WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), asked AS (
    DELETE FROM approvals
    WHERE id = ANY (ARRAY(SELECT id FROM approvals WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint)) AND run_id = ANY ($1::uuid[])
    RETURNING 1
)
SELECT (SELECT count(*) FROM steps) AS steps,
       (SELECT count(*) FROM contents) + (SELECT count(*) FROM some_contents) AS contents,
       (SELECT count(*) FROM messages) AS messages,
       (SELECT count(*) FROM counts) AS token_counts, (SELECT count(*) FROM scores) AS scores,
       (SELECT count(*) FROM aliases) + (SELECT count(*) FROM some_aliases) AS aliases, (SELECT count(*) FROM asked) AS approvals
