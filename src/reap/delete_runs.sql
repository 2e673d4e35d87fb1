-- Deletes the rows below runs, and notes that the runs are gone. All deletions of runs go through here: retention, prune and
-- erase. $1 runs, which are locked; $2 how many rows of a table at most (NULL: all). The caller deletes the runs themselves when
-- nothing is left below them. Returns how many rows went.
WITH graves AS (
    INSERT INTO ingest_tombstones (id)
    SELECT n.id FROM unnest($1::uuid[]) AS n (id) ORDER BY n.id
    ON CONFLICT (id, is_session) DO UPDATE SET at = now()
), steps AS (
    DELETE FROM agent_steps
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM agent_steps WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), messages AS (
    DELETE FROM agent_messages
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM agent_messages WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), counts AS (
    DELETE FROM agent_token_counts
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM agent_token_counts WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), scores AS (
    DELETE FROM agent_scores
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM agent_scores WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), aliases AS (
    DELETE FROM agent_step_aliases
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM agent_step_aliases WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
), asked AS (
    DELETE FROM approvals
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM approvals WHERE run_id = ANY ($1::uuid[]) LIMIT $2::bigint))
    RETURNING 1
)
SELECT (SELECT count(*) FROM steps) AS steps, (SELECT count(*) FROM messages) AS messages,
       (SELECT count(*) FROM counts) AS token_counts, (SELECT count(*) FROM scores) AS scores,
       (SELECT count(*) FROM aliases) AS aliases, (SELECT count(*) FROM asked) AS approvals
