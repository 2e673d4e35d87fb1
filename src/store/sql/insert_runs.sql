-- Inserts runs that did not exist when the batch took its locks, placeholders included.
-- $1 to $29 are the parameters of patch_runs.sql; $30 the tenant that owns the run, or NULL;
-- $31 the writer that may know the sums of the rows below the run, or NULL.
-- Runs that another transaction inserted meanwhile are neither changed nor returned. Nor are those that were deleted, or whose
-- parent was erased (gone_runs.sql).
WITH n AS (
    SELECT u.*, c.id AS known_customer_id,
           CASE WHEN u.customer_id IS NOT NULL AND c.id IS NULL
                THEN coalesce(u.sent_metadata, '{}')
                     || jsonb_build_object('unresolved_customer_id', u.customer_id)
                ELSE u.sent_metadata END AS metadata,
           CASE WHEN u.start_event_at IS NULL THEN u.observed END AS shown,
           CASE WHEN u.finalized_by IS DISTINCT FROM 'client' THEN u.observed #>> '{output,2}' END AS told_output,
           nullif(substr(u.observed #>> '{outcome,2}', 9), '') AS told_error,
           coalesce(u.finalized_by = 'root_span' AND u.status = 'completed'
                    AND u.observed #>> '{outcome,2}' LIKE 'failed%', false) AS fails
    FROM (
        SELECT id, start_event_at, session_id, parent_run_id, customer_id, agent_id, agent_type, name, input,
               nullif(metadata_json::jsonb - 'unresolved_customer_id', '{}') AS sent_metadata,
               timeout_ms, finalized_by, status, output, error, ended_at,
               reported_tokens_input, reported_tokens_output, end_metadata_json::jsonb AS end_metadata, alive_at,
               observed_json::jsonb AS observed, root_started_at, counted, tokens_input, tokens_output,
               first_at, last_at, started_at, tenant_id, summed_by
        FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                    $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[],
                    $15::text[], $16::timestamptz[], $17::integer[], $18::integer[], $19::text[],
                    $20::timestamptz[], $22::text[], $23::timestamptz[], $24::boolean[], $25::bigint[],
                    $26::bigint[], $27::timestamptz[], $28::timestamptz[], $29::timestamptz[], $30::uuid[],
                    $31::bigint[])
             AS u (id, start_event_at, session_id, parent_run_id, customer_id, agent_id, agent_type,
                   name, input, metadata_json, timeout_ms, finalized_by, status, output,
                   error, ended_at, reported_tokens_input, reported_tokens_output, end_metadata_json, alive_at,
                   observed_json, root_started_at, counted, tokens_input, tokens_output, first_at, last_at,
                   started_at, tenant_id, summed_by)
        OFFSET 0 -- keeps this subquery, so that JSON is parsed once
    ) u
    -- A placeholder gets the customer of its tenant, which its start will name too, or else the
    -- observed one.
    LEFT JOIN LATERAL public.known_customer(CASE WHEN u.start_event_at IS NULL
        THEN coalesce(u.tenant_id, public.observed_customer_id(u.observed)) ELSE u.customer_id END) c ON true
)
INSERT INTO agent_runs (
    id, session_id, agent_id, agent_type, customer_id, status, input, output, started_at, ended_at,
    total_tokens_input, total_tokens_output, metadata, parent_run_id, name, error, end_metadata, last_event_at,
    finalized_by, reported_tokens_input, reported_tokens_output, timeout_ms, start_event_at, alive_at,
    abandon_at, observed, output_observed, status_observed, error_observed, root_started_at, tenant_id, summed_by)
SELECT id, coalesce(session_id, (shown #>> '{session_id,2}')::uuid),
       coalesce(agent_id, shown #>> '{agent_id,2}', 'unknown'),
       coalesce(agent_type, shown #>> '{agent_type,2}', 'unknown'), known_customer_id,
       CASE WHEN fails THEN 'failed' ELSE coalesce(status, 'running') END, coalesce(input, shown #>> '{input,2}'),
       coalesce(output, told_output), coalesce(started_at, root_started_at, first_at), ended_at,
       CASE WHEN counted THEN least(tokens_input, 2147483647)::integer
            WHEN NOT counted THEN reported_tokens_input END,
       CASE WHEN counted THEN least(tokens_output, 2147483647)::integer
            WHEN NOT counted THEN reported_tokens_output END,
       -- The function is planned anew in each statement that calls it, so not without need.
       CASE WHEN metadata IS NOT NULL OR shown IS NULL THEN metadata
            ELSE public.observed_metadata(shown, tenant_id IS NULL AND known_customer_id IS NULL) END, parent_run_id,
       coalesce(name, shown #>> '{name,2}'),
       CASE WHEN fails THEN coalesce(error, told_error) ELSE error END, end_metadata,
       greatest(alive_at, last_at), finalized_by,
       reported_tokens_input, reported_tokens_output, timeout_ms, start_event_at, alive_at,
       CASE WHEN finalized_by IS NULL
            THEN now() + coalesce(timeout_ms, $21) * interval '1.125 ms' END,
       observed, CASE WHEN output IS NULL AND told_output IS NOT NULL THEN true END,
       CASE WHEN fails THEN true END, CASE WHEN fails AND error IS NULL AND told_error IS NOT NULL THEN true END,
       root_started_at, tenant_id, summed_by
FROM n
WHERE NOT EXISTS (SELECT FROM ingest_tombstones g WHERE g.id = n.id AND NOT g.is_session)
  AND NOT EXISTS (SELECT FROM ingest_tombstones g
                  WHERE g.id = n.parent_run_id AND NOT g.is_session AND g.erased_for IS NOT NULL)
ORDER BY id
ON CONFLICT ON CONSTRAINT agent_runs_pkey DO NOTHING
RETURNING id
