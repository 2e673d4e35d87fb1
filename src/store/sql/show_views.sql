-- Shows calls that several steps describe once. The runs are locked.
-- $1 steps that become views of another step; $2 steps that show a call, with the steps that
-- fill their columns if these have no value: $3 model, $4 input, $5 output; $6 the step whose
-- failure they show (NULL: none). $7 token counts of which another step has the same. $8 runs.
WITH hidden AS (
    UPDATE agent_steps
    SET own_view = jsonb_object('{step_type,kind}', ARRAY[step_type, kind]), step_type = 'other', kind = 'view'
    WHERE id = ANY ($1::uuid[]) AND (run_id = ANY ($8::uuid[])) IS TRUE
), filled AS (
    UPDATE agent_steps s
    SET own_view = nullif(
            CASE WHEN m.model IS NOT NULL THEN '{"model": null}'::jsonb ELSE '{}' END
            || CASE WHEN i.input IS NOT NULL THEN '{"input": null}'::jsonb ELSE '{}' END
            || CASE WHEN o.output IS NOT NULL THEN '{"output": null}'::jsonb ELSE '{}' END
            || CASE WHEN f.id IS NOT NULL THEN jsonb_object('{status,error}', ARRAY[s.status, s.error])
                    ELSE '{}' END, '{}'),
        model = coalesce(m.model, s.model),
        input = coalesce(i.input, s.input),
        output = coalesce(o.output, s.output),
        status = coalesce(f.status, s.status),
        error = CASE WHEN f.id IS NOT NULL THEN f.error ELSE s.error END
    FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[])
         AS n (id, model_of, input_of, output_of, failure_of)
    LEFT JOIN agent_steps m ON m.id = n.model_of AND (m.run_id = ANY ($8::uuid[])) IS TRUE
    LEFT JOIN agent_steps i ON i.id = n.input_of AND (i.run_id = ANY ($8::uuid[])) IS TRUE
    LEFT JOIN agent_steps o ON o.id = n.output_of AND (o.run_id = ANY ($8::uuid[])) IS TRUE
    LEFT JOIN agent_steps f ON f.id = n.failure_of AND (f.run_id = ANY ($8::uuid[])) IS TRUE
    WHERE s.id = n.id AND (s.run_id = ANY ($8::uuid[])) IS TRUE
), counts AS (
    UPDATE agent_token_counts SET rollup = true, seen_twice = true
    WHERE id = ANY ($7::uuid[]) AND (run_id = ANY ($8::uuid[])) IS TRUE
)
UPDATE agent_runs SET views_shown = true WHERE id = ANY ($8::uuid[])
