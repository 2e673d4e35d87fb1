-- Undoes 0028_views_of_calls: every row shows again what its own events reported. Totals of
-- runs stay.

UPDATE agent_steps
SET step_type = CASE WHEN own_view ? 'step_type' THEN own_view ->> 'step_type' ELSE step_type END,
    kind = CASE WHEN own_view ? 'kind' THEN own_view ->> 'kind' ELSE kind END,
    model = CASE WHEN own_view ? 'model' THEN own_view ->> 'model' ELSE model END,
    input = CASE WHEN own_view ? 'input' THEN NULL ELSE input END,
    output = CASE WHEN own_view ? 'output' THEN NULL ELSE output END,
    status = CASE WHEN own_view ? 'status' THEN own_view ->> 'status' ELSE status END,
    error = CASE WHEN own_view ? 'status' THEN own_view ->> 'error' ELSE error END
WHERE own_view IS NOT NULL;
UPDATE agent_token_counts SET rollup = false WHERE seen_twice;

ALTER TABLE agent_token_counts DROP COLUMN IF EXISTS seen_twice;
ALTER TABLE agent_steps DROP COLUMN IF EXISTS own_view;
ALTER TABLE agent_runs DROP COLUMN IF EXISTS views_shown;
