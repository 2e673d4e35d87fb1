-- Merges one pass of staged steps; their runs are locked. $1 the pass.
-- Details stand as a whole: those of an end (rank 2) over those of a start
-- (rank 1), then the later. A row that one end event made alone leaves rank and
-- time NULL: they are 2 and ended_at. End: the later, then failed over
-- completed; any end over being closed with the run. started_at is the least.
-- Ties are broken by content. Returns the steps that changed, those whose id
-- belongs to another run, and those that another transaction inserted just now,
-- so that this statement cannot see whose they are (raced).
WITH n AS MATERIALIZED (
    SELECT * FROM stage_steps WHERE pass = $1
), inserted AS (
    INSERT INTO agent_steps (
        id, run_id, step_type, name, input, output, duration_ms, created_at, parent_step_id, kind, status,
        error, model, started_at, ended_at, metadata, duration_reported, details_rank, details_at)
    SELECT id, run_id, step_type, name, input, output, duration_ms, created_at, parent_step_id, kind, status,
           error, model, started_at, ended_at, metadata, duration_reported, details_rank, details_at
    FROM n
    ORDER BY id
    ON CONFLICT ON CONSTRAINT agent_steps_pkey DO NOTHING
    RETURNING id
), judged AS (
    SELECT n.*, w.details_win, w.end_wins, w.new_rank, w.new_details_at, w.old_rank, w.old_details_at,
           n.started_at IS NOT NULL
               AND (o.started_at IS NULL OR n.started_at < o.started_at) AS starts_earlier,
           CASE WHEN w.end_wins THEN n.ended_at ELSE o.ended_at END AS final_ended_at,
           least(n.started_at, o.started_at) AS final_started_at
    FROM n
    JOIN agent_steps o ON o.run_id = n.run_id AND o.id = n.id
    CROSS JOIN LATERAL (
        SELECT coalesce(n.details_rank, 2) AS new_rank,
               CASE WHEN n.details_rank IS NULL THEN n.ended_at ELSE n.details_at END AS new_details_at,
               coalesce(o.details_rank, 2) AS old_rank,
               CASE WHEN o.details_rank IS NULL THEN o.ended_at ELSE o.details_at END AS old_details_at
    ) v
    CROSS JOIN LATERAL (
        SELECT v.*,
               v.new_rank > 0 AND record_gt(
                   ROW(v.new_rank, v.new_details_at, n.step_type, n.kind, n.name, n.parent_step_id,
                       n.model, n.input::text, n.metadata::text),
                   ROW(v.old_rank, v.old_details_at, o.step_type, o.kind, o.name, o.parent_step_id,
                       o.model, o.input::text, o.metadata::text)) AS details_win,
               n.ended_at IS NOT NULL AND (o.ended_at IS NULL OR o.closed_with_run OR record_gt(
                   ROW(n.ended_at, n.status, n.output::text, n.error,
                       CASE WHEN n.duration_reported THEN n.duration_ms END),
                   ROW(o.ended_at, o.status, o.output::text, o.error,
                       CASE WHEN o.duration_reported THEN o.duration_ms END))) AS end_wins
    ) w
), updated AS (
    UPDATE agent_steps AS s
    SET step_type = CASE WHEN j.details_win THEN j.step_type ELSE s.step_type END,
        kind = CASE WHEN j.details_win THEN j.kind ELSE s.kind END,
        name = CASE WHEN j.details_win THEN j.name ELSE s.name END,
        parent_step_id = CASE WHEN j.details_win THEN j.parent_step_id ELSE s.parent_step_id END,
        model = CASE WHEN j.details_win THEN j.model ELSE s.model END,
        input = CASE WHEN j.details_win THEN j.input ELSE s.input END,
        metadata = CASE WHEN j.details_win THEN j.metadata ELSE s.metadata END,
        details_rank = f.details_rank,
        details_at = f.details_at,
        status = CASE WHEN j.end_wins THEN j.status ELSE s.status END,
        output = CASE WHEN j.end_wins THEN j.output ELSE s.output END,
        error = CASE WHEN j.end_wins THEN j.error ELSE s.error END,
        ended_at = j.final_ended_at,
        closed_with_run = CASE WHEN j.end_wins THEN NULL ELSE s.closed_with_run END,
        duration_reported = f.duration_reported,
        duration_ms = CASE
            WHEN f.duration_reported AND j.end_wins THEN j.duration_ms
            WHEN f.duration_reported THEN s.duration_ms
            WHEN j.final_ended_at IS NULL OR j.final_started_at IS NULL THEN NULL
            -- Not by way of an interval, which cannot hold all of time.
            ELSE floor(1000 * least(greatest(
                extract(epoch FROM j.final_ended_at) - extract(epoch FROM j.final_started_at),
                0), 2147483.647))::integer END,
        started_at = j.final_started_at,
        created_at = coalesce(j.final_started_at, j.final_ended_at)
    FROM (
        SELECT j.*,
               CASE WHEN details_win THEN new_rank ELSE old_rank END AS rank,
               CASE WHEN details_win THEN new_details_at ELSE old_details_at END AS at
        FROM judged j
        WHERE details_win OR end_wins OR starts_earlier
    ) j
    JOIN agent_steps o ON o.run_id = j.run_id AND o.id = j.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN j.rank = 2 AND j.at = j.final_ended_at THEN NULL ELSE j.rank END AS details_rank,
               CASE WHEN j.rank = 2 AND j.at = j.final_ended_at THEN NULL ELSE j.at END AS details_at,
               CASE WHEN j.end_wins THEN j.duration_reported ELSE o.duration_reported END AS duration_reported
    ) f
    WHERE s.run_id = j.run_id AND s.id = j.id
    RETURNING s.id
)
SELECT id, 'inserted' AS fate FROM inserted
UNION ALL
SELECT id, 'updated' FROM updated
UNION ALL
SELECT n.id, CASE WHEN o.id IS NULL THEN 'raced' ELSE 'elsewhere' END
FROM n
LEFT JOIN inserted i ON i.id = n.id
LEFT JOIN agent_steps o ON o.id = n.id
WHERE i.id IS NULL AND o.run_id IS DISTINCT FROM n.run_id
