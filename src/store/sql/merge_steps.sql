-- Merges steps; each id occurs at most once, and their runs are locked. $1 to $21 the columns
-- of their rows, in the order of COPY.
-- Details are replaced as a whole. Those of an end (rank 2) win over those of a start (rank 1).
-- Of two ends, the greater view wins, then the later. If the details come from the end that
-- the row shows, the rank, time and view of the details are NULL.
-- Of two ends, the greater view wins, then the later, then failed over completed. Any end wins
-- over being closed with the run. started_at is the earliest. Content breaks ties.
-- The plan of a batch orders its events in the same way (plan/order.rs): NULL is the greatest
-- value, and texts compare by their bytes.
-- Returns the steps that changed; those whose id belongs to another run (elsewhere); those that
-- did not exist (new); and those that an event changes (due). If a step is new and was not
-- inserted, another transaction inserted it meanwhile, or a trigger skips it; if it is due and
-- did not change, a trigger skips it.
-- No join is without an index: it would cost the square of the batch. IS TRUE keeps the planner
-- from the index on run_id, so that it finds a step by id and not among all steps of its run.
--
-- other_view is an array of three. The first two elements are the greatest details and the
-- greatest end of a view below the one that wins, each an array in the order of comparison.
-- The third is a bit mask of the columns that show parts of them: metadata holds their
-- metadata under the key other_view (1: it had none itself, 2: it had); input (4), model (8)
-- and output (16) hold theirs, because the winning view has none.
-- Parents are compared by the id that the event named.
WITH n AS MATERIALIZED (
    SELECT u.id, u.run_id, u.step_type, u.name, u.input::jsonb AS input, u.output::jsonb AS output, u.duration_ms,
           u.created_at, u.parent_step_id, u.kind, u.status, u.error, u.model, u.started_at, u.ended_at,
           u.metadata::jsonb AS metadata, u.duration_reported, u.details_rank, u.details_at,
           u.named_parent_step_id, u.view,
           coalesce(u.named_parent_step_id, u.parent_step_id) AS raw_parent,
           u.named_parent_step_id IS NOT NULL AS may_be_alias
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[],
                $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::timestamptz[],
                $15::timestamptz[], $16::text[], $17::boolean[], $18::smallint[], $19::timestamptz[],
                $20::uuid[], $21::smallint[])
         AS u (id, run_id, step_type, name, input, output, duration_ms, created_at, parent_step_id, kind, status, error,
               model, started_at, ended_at, metadata, duration_reported, details_rank, details_at,
               named_parent_step_id, view)
), inserted AS (
    INSERT INTO agent_steps (
        id, run_id, step_type, name, input, output, duration_ms, created_at, parent_step_id, kind, status,
        error, model, started_at, ended_at, metadata, duration_reported, details_rank, details_at,
        named_parent_step_id, view)
    SELECT id, run_id, step_type, name, input, output, duration_ms, created_at, parent_step_id, kind, status,
           error, model, started_at, ended_at, metadata, duration_reported, details_rank, details_at,
           named_parent_step_id, view
    FROM n
    -- Drop duplicates before the sort: sorting their whole rows would cost most.
    WHERE NOT EXISTS (SELECT FROM agent_steps o WHERE o.id = n.id)
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_steps_pkey DO NOTHING
    RETURNING id
), met AS (
    -- The new and the stored step side by side, as the events reported them.
    SELECT n.*,
           coalesce(n.details_rank, 2) AS new_rank,
           CASE WHEN n.details_rank IS NULL THEN n.ended_at ELSE n.details_at END AS new_details_at,
           CASE WHEN n.details_rank IS NULL THEN coalesce(n.view, 0) ELSE 0 END AS new_details_view,
           coalesce(n.view, 0) AS new_view,
           CASE WHEN n.duration_reported THEN n.duration_ms END AS new_reported,
           coalesce(o.details_rank, 2) AS old_rank,
           CASE WHEN o.details_rank IS NULL THEN o.ended_at ELSE o.details_at END AS old_details_at,
           coalesce(CASE WHEN o.details_rank IS NULL THEN o.view ELSE o.details_view END, 0) AS old_details_view,
           o.step_type AS old_step_type, o.kind AS old_kind, o.name AS old_name,
           coalesce(o.named_parent_step_id, o.parent_step_id) AS old_raw_parent,
           o.parent_step_id AS old_parent, o.named_parent_step_id AS old_named_parent,
           o.named_parent_step_id IS NOT NULL AS old_may_be_alias,
           CASE WHEN f.filled & 8 = 0 THEN o.model END AS old_model,
           CASE WHEN f.filled & 4 = 0 THEN o.input END AS old_input,
           CASE WHEN f.filled & 3 = 0 THEN o.metadata
                WHEN f.filled & 3 = 2 THEN o.metadata - 'other_view' END AS old_metadata,
           o.ended_at IS NOT NULL AND o.closed_with_run IS NULL AS old_has_end,
           coalesce(o.view, 0) AS old_view,
           o.ended_at AS old_ended_at, o.status AS old_status,
           CASE WHEN f.filled & 16 = 0 THEN o.output END AS old_output,
           o.error AS old_error, o.duration_ms AS old_duration_ms, o.duration_reported AS old_duration_reported,
           CASE WHEN o.duration_reported THEN o.duration_ms END AS old_reported,
           o.closed_with_run AS old_closed_with_run, o.started_at AS old_started_at,
           o.other_view AS old_other
    FROM n
    JOIN agent_steps o ON o.id = n.id AND (o.run_id = n.run_id) IS TRUE
    CROSS JOIN LATERAL (SELECT coalesce((o.other_view ->> 2)::integer, 0) AS filled) f
), judged AS (
    SELECT m.*,
           -- Small values decide first: a large one is read from where Postgres keeps it only if they
           -- are equal.
           m.new_rank > 0 AND CASE
               WHEN (m.new_rank, m.new_details_view, m.new_details_at)
                    IS DISTINCT FROM (m.old_rank, m.old_details_view, m.old_details_at)
               THEN record_gt(ROW(m.new_rank, m.new_details_view, m.new_details_at),
                              ROW(m.old_rank, m.old_details_view, m.old_details_at))
               ELSE record_gt(
               ROW(ARRAY[m.step_type, m.kind, m.name] COLLATE "C", m.raw_parent,
                   ARRAY[m.model, m.input::text, m.metadata::text] COLLATE "C", m.may_be_alias),
               ROW(ARRAY[m.old_step_type, m.old_kind, m.old_name] COLLATE "C", m.old_raw_parent,
                   ARRAY[m.old_model, m.old_input::text, m.old_metadata::text] COLLATE "C",
                   m.old_may_be_alias)) END
               AS details_win,
           m.ended_at IS NOT NULL AND (NOT m.old_has_end OR CASE
               WHEN (m.new_view, m.ended_at) IS DISTINCT FROM (m.old_view, m.old_ended_at)
               THEN record_gt(ROW(m.new_view, m.ended_at), ROW(m.old_view, m.old_ended_at))
               ELSE record_gt(
               ROW(ARRAY[m.status, m.output::text, m.error] COLLATE "C", m.new_reported),
               ROW(ARRAY[m.old_status, m.old_output::text, m.old_error] COLLATE "C", m.old_reported)) END)
               AS end_wins,
           m.started_at IS NOT NULL AND (m.old_started_at IS NULL OR m.started_at < m.old_started_at)
               AS starts_earlier
    FROM met m
), viewed AS MATERIALIZED (
    -- A step that loses to a greater view is kept, unless a greater one is kept already.
    SELECT j.*,
           CASE WHEN j.old_other IS NULL AND j.new_details_view = j.old_details_view THEN NULL ELSE (
               SELECT c.loser
               FROM (
                   SELECT nullif(j.old_other -> 0, 'null') AS loser
                   UNION ALL
                   SELECT jsonb_build_array(
                       j.old_details_view, extract(epoch FROM j.old_details_at), j.old_step_type, j.old_kind,
                       j.old_name, j.old_raw_parent, j.old_model, j.old_input::text, j.old_metadata::text,
                       j.old_may_be_alias)
                   WHERE j.details_win AND j.old_rank = 2 AND j.old_details_view < j.new_details_view
                   UNION ALL
                   SELECT jsonb_build_array(
                       j.new_details_view, extract(epoch FROM j.new_details_at), j.step_type, j.kind,
                       j.name, j.raw_parent, j.model, j.input::text, j.metadata::text, j.may_be_alias)
                   WHERE j.new_rank = 2 AND j.old_rank = 2 AND j.new_details_view < j.old_details_view
               ) c
               ORDER BY (c.loser ->> 0)::integer DESC NULLS LAST, (c.loser ->> 1)::numeric DESC,
                        ARRAY[c.loser ->> 2, c.loser ->> 3, c.loser ->> 4, c.loser ->> 5, c.loser ->> 6,
                              c.loser ->> 7, c.loser ->> 8] COLLATE "C" DESC,
                        (c.loser ->> 9)::boolean DESC
               LIMIT 1
           ) END AS other_details,
           CASE WHEN j.old_other IS NULL AND j.new_view = j.old_view THEN NULL ELSE (
               SELECT c.loser
               FROM (
                   SELECT nullif(j.old_other -> 1, 'null') AS loser
                   UNION ALL
                   SELECT jsonb_build_array(
                       j.old_view, extract(epoch FROM j.old_ended_at), j.old_status, j.old_output::text,
                       j.old_error, j.old_reported)
                   WHERE j.end_wins AND j.old_has_end AND j.old_view < j.new_view
                   UNION ALL
                   SELECT jsonb_build_array(
                       j.new_view, extract(epoch FROM j.ended_at), j.status, j.output::text, j.error,
                       j.new_reported)
                   WHERE j.ended_at IS NOT NULL AND j.old_has_end AND j.new_view < j.old_view
               ) c
               ORDER BY (c.loser ->> 0)::integer DESC NULLS LAST, (c.loser ->> 1)::numeric DESC,
                        ARRAY[c.loser ->> 2, c.loser ->> 3, c.loser ->> 4] COLLATE "C" DESC,
                        (c.loser ->> 5)::integer DESC
               LIMIT 1
           ) END AS other_end
    FROM judged j
), final AS NOT MATERIALIZED (
    -- The result, as the events reported it.
    SELECT v.run_id, v.id, v.details_win, v.end_wins, v.started_at AS new_started_at,
           CASE WHEN details_win THEN new_rank ELSE old_rank END AS rank,
           CASE WHEN details_win THEN new_details_at ELSE old_details_at END AS details_at,
           CASE WHEN details_win THEN new_details_view ELSE old_details_view END AS details_view,
           CASE WHEN details_win THEN step_type ELSE old_step_type END AS step_type,
           CASE WHEN details_win THEN kind ELSE old_kind END AS kind,
           CASE WHEN details_win THEN name ELSE old_name END AS name,
           CASE WHEN details_win THEN parent_step_id ELSE old_parent END AS parent_step_id,
           CASE WHEN details_win THEN named_parent_step_id ELSE old_named_parent END AS named_parent_step_id,
           CASE WHEN details_win THEN model ELSE old_model END AS model,
           CASE WHEN details_win THEN input ELSE old_input END AS input,
           CASE WHEN details_win THEN metadata ELSE old_metadata END AS metadata,
           CASE WHEN end_wins THEN new_view ELSE old_view END AS view,
           CASE WHEN end_wins THEN ended_at ELSE old_ended_at END AS ended_at,
           CASE WHEN end_wins THEN status ELSE old_status END AS status,
           CASE WHEN end_wins THEN output ELSE old_output END AS output,
           CASE WHEN end_wins THEN error ELSE old_error END AS error,
           CASE WHEN end_wins THEN NULL ELSE old_closed_with_run END AS closed_with_run,
           CASE WHEN end_wins THEN duration_reported ELSE old_duration_reported END AS duration_reported,
           CASE WHEN end_wins THEN duration_ms ELSE old_duration_ms END AS duration_ms,
           least(started_at, old_started_at) AS started_at,
           other_details, other_end,
           (other_details ->> 8)::jsonb AS other_metadata
    FROM viewed v
    WHERE details_win OR end_wins OR starts_earlier
       OR other_details IS DISTINCT FROM nullif(old_other -> 0, 'null')
       OR other_end IS DISTINCT FROM nullif(old_other -> 1, 'null')
), updated AS (
    UPDATE agent_steps AS s
    SET step_type = f.step_type,
        kind = f.kind,
        name = f.name,
        parent_step_id = f.parent_step_id,
        named_parent_step_id = f.named_parent_step_id,
        model = coalesce(f.model, f.other_details ->> 6),
        input = coalesce(f.input, (f.other_details ->> 7)::jsonb),
        metadata = CASE WHEN w.filled & 3 = 0 THEN f.metadata
                        ELSE coalesce(f.metadata, '{}')
                             || jsonb_set('{}', '{other_view}', f.other_metadata) END,
        details_rank = CASE WHEN w.by_end THEN NULL ELSE f.rank END,
        details_at = CASE WHEN w.by_end THEN NULL ELSE f.details_at END,
        details_view = CASE WHEN w.by_end THEN NULL ELSE nullif(f.details_view, 0) END,
        view = nullif(f.view, 0),
        status = f.status,
        output = coalesce(f.output, (f.other_end ->> 3)::jsonb),
        error = f.error,
        ended_at = f.ended_at,
        closed_with_run = f.closed_with_run,
        duration_reported = f.duration_reported,
        duration_ms = CASE
            WHEN f.duration_reported THEN f.duration_ms
            WHEN f.ended_at IS NULL OR f.started_at IS NULL THEN NULL
            -- An interval cannot hold every difference of two timestamps, so subtract epochs.
            ELSE floor(1000 * least(greatest(
                extract(epoch FROM f.ended_at AT TIME ZONE 'UTC') - extract(epoch FROM f.started_at AT TIME ZONE 'UTC'),
                0), 2147483.647))::integer END,
        started_at = f.started_at,
        created_at = coalesce(f.started_at, f.ended_at),
        other_view = CASE WHEN f.other_details IS NOT NULL OR f.other_end IS NOT NULL
                          THEN jsonb_set(jsonb_set(jsonb_set('[null, null, 0]',
                              '{0}', coalesce(f.other_details, 'null')), '{1}', coalesce(f.other_end, 'null')),
                              '{2}', w.filled::text::jsonb) END
    FROM final f
    CROSS JOIN LATERAL (
        SELECT f.rank = 2 AND f.details_at = f.ended_at AND f.details_view = f.view AS by_end,
               CASE WHEN f.other_metadata IS NULL OR f.metadata ? 'other_view' THEN 0
                    WHEN f.metadata IS NULL THEN 1 ELSE 2 END
               + CASE WHEN f.input IS NULL AND f.other_details ->> 7 IS NOT NULL THEN 4 ELSE 0 END
               + CASE WHEN f.model IS NULL AND f.other_details ->> 6 IS NOT NULL THEN 8 ELSE 0 END
               + CASE WHEN f.output IS NULL AND f.other_end ->> 3 IS NOT NULL THEN 16 ELSE 0 END AS filled
    ) w
    WHERE s.id = f.id AND (s.run_id = f.run_id) IS TRUE
    RETURNING s.id
)
SELECT id, 'inserted' AS outcome FROM inserted
UNION ALL
SELECT id, 'updated' FROM updated
UNION ALL
SELECT id, 'due' FROM final
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'new' ELSE 'elsewhere' END
FROM n
LEFT JOIN agent_steps o ON o.id = n.id
WHERE o.run_id IS DISTINCT FROM n.run_id
