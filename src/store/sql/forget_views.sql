-- Restores the rows of runs to what their own events reported, so that events can be merged
-- into them. $1 ids of locked runs. Returns the runs whose views were shown: these are shown
-- anew when the events are merged.
-- $2 steps and token counts that are about to be merged, in the runs $3, which are locked and have
-- many rows: only these rows are restored, and the sweeper restores the others.
-- Columns that were filled had no value of their own.
WITH due AS (
    SELECT id FROM agent_steps WHERE run_id = ANY ($1::uuid[]) AND own_view IS NOT NULL
    UNION ALL
    SELECT id FROM agent_steps
    WHERE id = ANY ($2::uuid[]) AND (run_id = ANY ($3::uuid[])) IS TRUE AND own_view IS NOT NULL
), due_counts AS (
    SELECT id FROM agent_token_counts WHERE run_id = ANY ($1::uuid[]) AND seen_twice
    UNION ALL
    SELECT id FROM agent_token_counts
    WHERE id = ANY ($2::uuid[]) AND (run_id = ANY ($3::uuid[])) IS TRUE AND seen_twice
), steps AS (
    UPDATE agent_steps s
    SET step_type = CASE WHEN own_view ? 'step_type' THEN own_view ->> 'step_type' ELSE step_type END,
        kind = CASE WHEN own_view ? 'kind' THEN own_view ->> 'kind' ELSE kind END,
        model = CASE WHEN own_view ? 'model' THEN NULL ELSE model END,
        input = CASE WHEN own_view ? 'input' THEN NULL ELSE input END,
        output = CASE WHEN own_view ? 'output' THEN NULL ELSE output END,
        status = CASE WHEN own_view ? 'status' THEN own_view ->> 'status' ELSE status END,
        error = CASE WHEN own_view ? 'status' THEN own_view ->> 'error' ELSE error END,
        own_view = NULL
    FROM due d
    WHERE s.id = d.id
), counts AS (
    UPDATE agent_token_counts c
    SET rollup = false, seen_twice = NULL
    FROM due_counts d
    WHERE c.id = d.id
)
UPDATE agent_runs SET views_shown = NULL WHERE id = ANY ($1::uuid[]) AND views_shown RETURNING id
