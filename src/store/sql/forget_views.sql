-- Restores the rows of runs to what their own events reported, so that events can be merged
-- into them. $1 ids of locked runs. Returns the runs whose views were shown: these are shown
-- anew when the events are merged.
-- Columns that were filled had no value of their own.
WITH steps AS (
    UPDATE agent_steps
    SET step_type = CASE WHEN own_view ? 'step_type' THEN own_view ->> 'step_type' ELSE step_type END,
        kind = CASE WHEN own_view ? 'kind' THEN own_view ->> 'kind' ELSE kind END,
        model = CASE WHEN own_view ? 'model' THEN NULL ELSE model END,
        input = CASE WHEN own_view ? 'input' THEN NULL ELSE input END,
        output = CASE WHEN own_view ? 'output' THEN NULL ELSE output END,
        status = CASE WHEN own_view ? 'status' THEN own_view ->> 'status' ELSE status END,
        error = CASE WHEN own_view ? 'status' THEN own_view ->> 'error' ELSE error END,
        own_view = NULL
    WHERE run_id = ANY ($1::uuid[]) AND own_view IS NOT NULL
), counts AS (
    UPDATE agent_token_counts
    SET rollup = false, seen_twice = NULL
    WHERE run_id = ANY ($1::uuid[]) AND seen_twice
)
UPDATE agent_runs SET views_shown = NULL WHERE id = ANY ($1::uuid[]) AND views_shown RETURNING id
