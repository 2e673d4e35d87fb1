-- Staging of one writer's session, emptied at each commit. The columns are
-- those of the COPY into the real table, plus `pass`: the how-manieth row of
-- its id in the batch it is, so that each pass merges an id at most once.
CREATE TEMP TABLE stage_steps (
    pass smallint, id uuid, run_id uuid, step_type text, name text, input jsonb, output jsonb,
    duration_ms integer, created_at timestamptz, parent_step_id uuid, kind text, status text, error text,
    model text, started_at timestamptz, ended_at timestamptz, metadata jsonb, duration_reported boolean,
    details_rank smallint, details_at timestamptz, named_parent_step_id uuid, view smallint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_messages (
    pass smallint, id uuid, session_id uuid, role text, content text, thinking text, tool_calls jsonb,
    metadata jsonb, created_at timestamptz, run_id uuid, step_id uuid, seq bigint,
    sighting boolean
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_token_counts (
    pass smallint, id uuid, run_id uuid, step_id uuid, model text, input integer, output integer,
    cache_read integer, cache_write integer, reasoning integer, rollup boolean, created_at timestamptz
) ON COMMIT DELETE ROWS;
