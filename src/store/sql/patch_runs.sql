-- Merges starts, ends and signs of life into runs that exist and are locked, at most one of each
-- per run.
-- $1 ids; $21 the default timeout in ms; $20 the latest time of a start, heartbeat or end (NULL:
-- a mere placeholder); $22 what RunObserved events report, in the form of agent_runs.observed.
-- Of the start: $2 event time (NULL: none), $29 the earliest time of all starts, $3 session, $4 parent, $5 customer, $6 agent id,
-- $7 agent type, $8 name, $9 input, $10 metadata, $11 timeout in ms.
-- Of the end: $12 by whom (NULL: none), $13 status, $14 output, $15 error, $16 ended_at,
-- $17, $18 reported tokens, $19 metadata, $23 the earliest time at which the run began.
-- Sums of the rows below the run, if it ends and its writer knows them (otherwise NULL, and
-- settle_runs.sql follows): $24 whether there are token counts, $25, $26 their sums, $27 the
-- first and $28 the last time.
-- Start: the latest wins, as a whole; started_at is the earliest.
-- End: client over root span over abandoned, then the later, then failed over completed.
-- Observed: field by field, as merge_observed does. The row shows these fields until a start
-- arrives. It shows the observed output if the winning end has no output and is not the client's.
-- Content breaks ties. The plan of a batch orders its events in the same way (plan/order.rs): NULL
-- is the greatest value, and texts compare by their bytes. Only the daemon sets
-- metadata.unresolved_customer_id; metadata without other members is NULL.
-- Returns what changed of each run that changed; and the runs that an event changes (due). If a
-- run is due and did not change, a trigger skips it.
WITH n AS MATERIALIZED (
    SELECT u.id, u.start_event_at, u.session_id, u.parent_run_id, c.id AS customer_id,
           u.customer_id AS named_customer_id,
           u.agent_id, u.agent_type, u.name, u.input, u.timeout_ms,
           nullif(u.metadata::jsonb - 'unresolved_customer_id', '{}') AS metadata,
           u.started_at,
           u.finalized_by, u.status, u.output, u.error, u.ended_at,
           u.reported_tokens_input, u.reported_tokens_output, u.end_metadata::jsonb AS end_metadata,
           u.alive_at, u.observed::jsonb AS observed, u.root_started_at, u.counted, u.tokens_input,
           u.tokens_output, u.first_at, u.last_at
    FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[],
                $15::text[], $16::timestamptz[], $17::integer[], $18::integer[], $19::text[],
                $20::timestamptz[], $22::text[], $23::timestamptz[], $24::boolean[], $25::bigint[],
                $26::bigint[], $27::timestamptz[], $28::timestamptz[], $29::timestamptz[])
         AS u (id, start_event_at, session_id, parent_run_id, customer_id, agent_id, agent_type,
               name, input, metadata, timeout_ms, finalized_by, status, output,
               error, ended_at, reported_tokens_input, reported_tokens_output, end_metadata, alive_at,
               observed, root_started_at, counted, tokens_input, tokens_output, first_at, last_at, started_at)
    LEFT JOIN LATERAL public.known_customer(u.customer_id) c ON true
), judged AS (
    SELECT n.*, w.start_wins, w.end_wins,
           n.started_at IS NOT NULL
               AND (o.start_event_at IS NULL OR n.started_at < o.started_at) AS starts_earlier,
           n.alive_at IS NOT NULL
               AND (o.alive_at IS NULL OR n.alive_at > o.alive_at) AS lives_longer,
           n.root_started_at IS NOT NULL
               AND (o.root_started_at IS NULL OR n.root_started_at < o.root_started_at) AS began_earlier,
           v.all_observed,
           n.observed IS NOT NULL AND v.all_observed IS DISTINCT FROM o.observed AS tells_more, v.end_output,
           v.end_status, v.end_error,
           o.start_event_at AS old_start_at, o.finalized_by AS old_finalized_by, o.status AS old_status,
           o.timeout_ms AS old_timeout_ms, o.tenant_id
    FROM n
    JOIN agent_runs o ON o.id = n.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n.observed IS NULL THEN o.observed
                    ELSE public.merge_observed(o.observed, n.observed) END AS all_observed,
               CASE WHEN o.output_observed THEN NULL ELSE o.output END AS end_output,
               CASE WHEN o.status_observed THEN 'completed' ELSE o.status END AS end_status,
               CASE WHEN o.error_observed THEN NULL ELSE o.error END AS end_error
    ) v
    CROSS JOIN LATERAL (
        -- Small values decide first: a large one is read from where Postgres keeps it only if they
        -- are equal.
        SELECT n.start_event_at IS NOT NULL AND (
               o.start_event_at IS NULL OR n.start_event_at > o.start_event_at
               OR n.start_event_at = o.start_event_at AND record_gt(
                   ROW(n.session_id, n.parent_run_id,
                       ARRAY[n.named_customer_id::text, n.agent_id, n.agent_type, n.name, n.input,
                             n.metadata::text] COLLATE "C",
                       n.timeout_ms),
                   ROW(o.session_id, o.parent_run_id,
                       ARRAY[coalesce(o.customer_id::text, o.metadata ->> 'unresolved_customer_id'),
                             o.agent_id, o.agent_type, o.name, o.input,
                             nullif(o.metadata - 'unresolved_customer_id', '{}')::text] COLLATE "C",
                       o.timeout_ms))) AS start_wins,
               n.finalized_by IS NOT NULL AND (
               o.finalized_by IS NULL
               OR record_gt(
                   ROW(array_position('{abandoned,root_span,client}', n.finalized_by), n.ended_at),
                   ROW(array_position('{abandoned,root_span,client}', o.finalized_by), o.ended_at))
               OR (n.finalized_by, n.ended_at) IS NOT DISTINCT FROM (o.finalized_by, o.ended_at) AND record_gt(
                   ROW(ARRAY[n.status, n.output, n.error] COLLATE "C", n.reported_tokens_input,
                       n.reported_tokens_output, n.end_metadata::text COLLATE "C"),
                   ROW(ARRAY[v.end_status, v.end_output, v.end_error] COLLATE "C", o.reported_tokens_input,
                       o.reported_tokens_output, o.end_metadata::text COLLATE "C"))) AS end_wins
    ) w
), due AS MATERIALIZED (
    SELECT j.*, e.*, e.told_output IS NOT NULL AS shows_output,
           coalesce(e.final_by = 'root_span' AND e.final_status = 'completed'
                    AND e.told_outcome LIKE 'failed%', false) AS fails,
           -- A tenant's run stays its tenant's.
           e.shows_observed AND j.all_observed ? 'customer' AND j.tenant_id IS NULL AS shows_customer,
           j.start_wins AND EXISTS (
               SELECT FROM ingest_tombstones g
               WHERE g.id = j.parent_run_id AND NOT g.is_session AND g.erased_for IS NOT NULL) AS below_erased
    FROM judged j
    CROSS JOIN LATERAL (
        SELECT j.tells_more AND NOT j.start_wins AND j.old_start_at IS NULL AS shows_observed,
               (SELECT c.id FROM public.known_customer(public.observed_customer_id(j.all_observed)) c)
                   AS observed_customer_id,
               CASE WHEN j.end_wins THEN j.output ELSE j.end_output END AS final_output,
               CASE WHEN j.end_wins THEN j.status ELSE j.end_status END AS final_status,
               CASE WHEN j.end_wins THEN j.error ELSE j.end_error END AS final_error,
               CASE WHEN j.end_wins THEN j.finalized_by ELSE j.old_finalized_by END AS final_by,
               j.all_observed #>> '{outcome,2}' AS told_outcome,
               nullif(substr(j.all_observed #>> '{outcome,2}', 9), '') AS told_error,
               CASE WHEN CASE WHEN j.end_wins THEN j.finalized_by = 'client' OR j.output IS NOT NULL
                              ELSE j.old_finalized_by IS NOT DISTINCT FROM 'client'
                                   OR j.end_output IS NOT NULL END
                    THEN NULL ELSE j.all_observed #>> '{output,2}' END AS told_output,
               CASE WHEN j.end_wins OR j.old_status <> 'running' THEN NULL
                    ELSE now() + coalesce(CASE WHEN j.start_wins THEN j.timeout_ms ELSE j.old_timeout_ms END, $21)
                                 * interval '1.125 ms' END AS abandon_at
    ) e
    WHERE j.start_wins OR j.end_wins OR j.starts_earlier OR j.lives_longer OR j.tells_more
       OR j.began_earlier
), updated AS (
    UPDATE agent_runs AS r
    SET session_id = CASE WHEN j.start_wins THEN j.session_id
                          WHEN j.shows_observed THEN (j.all_observed #>> '{session_id,2}')::uuid
                          ELSE r.session_id END,
        parent_run_id = CASE WHEN j.start_wins THEN j.parent_run_id ELSE r.parent_run_id END,
        customer_id = CASE WHEN j.start_wins THEN j.customer_id
                           WHEN j.shows_customer THEN j.observed_customer_id ELSE r.customer_id END,
        agent_id = CASE WHEN j.start_wins THEN j.agent_id
                        WHEN j.shows_observed THEN coalesce(j.all_observed #>> '{agent_id,2}', 'unknown')
                        ELSE r.agent_id END,
        agent_type = CASE WHEN j.start_wins THEN j.agent_type
                          WHEN j.shows_observed THEN coalesce(j.all_observed #>> '{agent_type,2}', 'unknown')
                          ELSE r.agent_type END,
        name = CASE WHEN j.start_wins THEN j.name
                    WHEN j.shows_observed THEN j.all_observed #>> '{name,2}' ELSE r.name END,
        input = CASE WHEN j.start_wins THEN j.input
                     WHEN j.shows_observed THEN j.all_observed #>> '{input,2}' ELSE r.input END,
        metadata = CASE WHEN j.start_wins AND j.named_customer_id IS NOT NULL AND j.customer_id IS NULL
                        THEN coalesce(j.metadata, '{}')
                             || jsonb_object('{unresolved_customer_id}', ARRAY[j.named_customer_id::text])
                        WHEN j.start_wins THEN j.metadata
                        WHEN j.shows_observed THEN public.observed_metadata(
                            j.all_observed, j.shows_customer AND j.observed_customer_id IS NULL)
                        ELSE r.metadata END,
        timeout_ms = CASE WHEN j.start_wins THEN j.timeout_ms ELSE r.timeout_ms END,
        start_event_at = CASE WHEN j.start_wins THEN j.start_event_at ELSE r.start_event_at END,
        started_at = CASE WHEN j.starts_earlier THEN j.started_at
                          WHEN r.start_event_at IS NULL AND j.began_earlier THEN j.root_started_at
                          -- No event reports when it began.
                          ELSE coalesce(r.started_at, j.first_at) END,
        root_started_at = CASE WHEN j.began_earlier THEN j.root_started_at ELSE r.root_started_at END,
        observed = CASE WHEN j.tells_more THEN j.all_observed ELSE r.observed END,
        finalized_by = CASE WHEN j.end_wins THEN j.finalized_by ELSE r.finalized_by END,
        status = CASE WHEN j.fails THEN 'failed' ELSE j.final_status END,
        status_observed = CASE WHEN j.fails THEN true END,
        output = CASE WHEN NOT (j.end_wins OR j.tells_more) THEN r.output
                      WHEN j.shows_output THEN j.told_output ELSE j.final_output END,
        output_observed = CASE WHEN j.shows_output THEN true END,
        error = CASE WHEN j.fails THEN coalesce(j.final_error, j.told_error) ELSE j.final_error END,
        error_observed = CASE WHEN j.fails AND j.final_error IS NULL AND j.told_error IS NOT NULL THEN true END,
        ended_at = CASE WHEN j.end_wins THEN j.ended_at ELSE r.ended_at END,
        end_metadata = CASE WHEN j.end_wins THEN j.end_metadata ELSE r.end_metadata END,
        reported_tokens_input =
            CASE WHEN j.end_wins THEN j.reported_tokens_input ELSE r.reported_tokens_input END,
        reported_tokens_output =
            CASE WHEN j.end_wins THEN j.reported_tokens_output ELSE r.reported_tokens_output END,
        alive_at = CASE WHEN j.lives_longer THEN j.alive_at ELSE r.alive_at END,
        last_event_at = greatest(r.last_event_at, j.alive_at, j.last_at),
        total_tokens_input = CASE
            WHEN j.counted THEN least(j.tokens_input, 2147483647)::integer
            WHEN NOT j.counted AND j.end_wins THEN j.reported_tokens_input
            WHEN NOT j.counted THEN r.reported_tokens_input
            ELSE r.total_tokens_input END,
        total_tokens_output = CASE
            WHEN j.counted THEN least(j.tokens_output, 2147483647)::integer
            WHEN NOT j.counted AND j.end_wins THEN j.reported_tokens_output
            WHEN NOT j.counted THEN r.reported_tokens_output
            ELSE r.total_tokens_output END,
        summed_by = CASE WHEN NOT j.end_wins THEN r.summed_by END,
        changed_at = now(),
        abandon_at = j.abandon_at
    FROM due j
    WHERE r.id = j.id
    RETURNING r.id, j.start_wins OR j.starts_earlier AS start_changed,
              j.end_wins OR j.began_earlier AS end_changed, j.lives_longer AS life_changed,
              j.tells_more AS observed_changed, j.below_erased
)
SELECT id, start_changed, end_changed, life_changed, observed_changed, false AS due, below_erased FROM updated
UNION ALL
SELECT id, false, false, false, false, true, below_erased FROM due
