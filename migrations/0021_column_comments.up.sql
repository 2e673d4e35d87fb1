-- Comments: every column of every table and view gets one, and comments that were hard to
-- read get better words. Changes no table, view or row. Each statement takes a lock that
-- blocks neither readers nor writers.
--
-- A product may have some of these tables already. There a column gets a comment only if
-- it has none, and the comment of the table stays.
--
-- Rollback: 0021_column_comments.down.sql

-- Tables that may be the product's own.

DO $migration$
DECLARE
  ours CONSTANT text := ' [created by runtraced]';
  one record;
BEGIN
  FOR one IN
    SELECT t.*
    FROM (VALUES
      ('users', 'id', 'User id; the sub claim of that user''s requests'),
      ('users', 'email', 'Email address; set by the product, the daemon does not read it'),
      ('users', 'full_name', 'Name for people; set by the product, the daemon does not read it'),
      ('users', 'created_at', 'When the row was created'),
      ('customers', 'id', 'Customer id; events and keys name it'),
      ('customers', 'name', 'Name of the customer, for people'),
      ('customers', 'arr', 'Annual recurring revenue; the product defines the currency'),
      ('customers', 'tier', 'enterprise, mid-market or smb'),
      ('customers', 'health_score',
       'Current overall health, 0 to 100; default 50. customers_at_risk lists customers below 60. health_scores holds '
       'the history'),
      ('customers', 'renewal_date',
       'When the contract is next due for renewal. renewal_pipeline holds the renewals themselves'),
      ('customers', 'csm_id',
       'Customer success manager: the user who may see and edit the data of the customer; NULL: nobody'),
      ('customers', 'status', 'State of the customer, in the product''s own words; default active'),
      ('customers', 'created_at', 'When the row was created'),
      ('customers', 'updated_at', 'When the row was last changed; the product keeps it current'),
      ('stakeholders', 'id', 'Contact id'),
      ('stakeholders', 'customer_id', 'The customer the person works for'),
      ('stakeholders', 'name', 'Name of the person'),
      ('stakeholders', 'email', 'Email address of the person'),
      ('stakeholders', 'title', 'Job title; NULL: not known'),
      ('stakeholders', 'role', 'Role towards the product: champion, sponsor, user or detractor; NULL: not known'),
      ('stakeholders', 'is_primary', 'True: the main contact of the customer'),
      ('stakeholders', 'sentiment', 'positive, neutral or negative; NULL: not known'),
      ('stakeholders', 'created_at', 'When the row was created'),
      ('contracts', 'id', 'Contract id'),
      ('contracts', 'customer_id', 'The customer that signed the contract'),
      ('contracts', 'file_url', 'Where the document is stored; NULL: no document'),
      ('contracts', 'parsed_data', 'Data that a model extracted from the document, any JSON; NULL: not extracted'),
      ('contracts', 'start_date', 'First day of the contract; NULL: not known'),
      ('contracts', 'end_date', 'Last day of the contract; NULL: not known or open-ended'),
      ('contracts', 'created_at', 'When the row was created'),
      ('entitlements', 'id', 'Entitlement id'),
      ('entitlements', 'customer_id', 'The customer that purchased it'),
      ('entitlements', 'contract_id', 'The contract that grants it; NULL: none recorded'),
      ('entitlements', 'product', 'What was purchased'),
      ('entitlements', 'quantity', 'How many units, for example seats; NULL: not counted'),
      ('entitlements', 'status', 'State of the entitlement, in the product''s own words; default active'),
      ('entitlements', 'created_at', 'When the row was created'),
      ('health_scores', 'id', 'Measurement id'),
      ('health_scores', 'customer_id', 'The customer that was measured'),
      ('health_scores', 'overall', 'Overall health'),
      ('health_scores', 'product', 'Product score: feature adoption; NULL: not measured'),
      ('health_scores', 'risk', 'Risk score: risk factors; NULL: not measured'),
      ('health_scores', 'outcomes', 'Outcomes score: goal achievement; NULL: not measured'),
      ('health_scores', 'voice', 'Voice score: engagement of the customer; NULL: not measured'),
      ('health_scores', 'engagement', 'Engagement score: activity of the customer; NULL: not measured'),
      ('health_scores', 'calculated_at', 'When the measurement was made'),
      ('usage_metrics', 'id', 'Row id'),
      ('usage_metrics', 'customer_id', 'The customer whose usage it is'),
      ('usage_metrics', 'date', 'The day that was measured'),
      ('usage_metrics', 'dau', 'Daily active users; NULL: not measured'),
      ('usage_metrics', 'wau', 'Weekly active users; NULL: not measured'),
      ('usage_metrics', 'mau', 'Monthly active users; NULL: not measured'),
      ('usage_metrics', 'session_duration_avg',
       'Average length of a user session; the product defines the unit. NULL: not measured'),
      ('usage_metrics', 'feature_adoption', 'Adoption by feature, any JSON; the product defines its form'),
      ('usage_metrics', 'adoption_score', 'Overall adoption; the product defines the scale. NULL: not measured'),
      ('risk_signals', 'id', 'Signal id'),
      ('risk_signals', 'customer_id', 'The customer at risk'),
      ('risk_signals', 'signal_type',
       'usage_drop, champion_left, support_escalation, nps_detractor, competitor_threat or payment_issue'),
      ('risk_signals', 'severity', 'low, medium, high or critical'),
      ('risk_signals', 'description', 'What was noticed, for people'),
      ('risk_signals', 'detected_at', 'When the signal was detected'),
      ('risk_signals', 'resolved_at', 'When the signal was resolved; NULL: still open'),
      ('renewal_pipeline', 'id', 'Renewal id'),
      ('renewal_pipeline', 'customer_id', 'The customer whose contract renews'),
      ('renewal_pipeline', 'renewal_date', 'When the renewal is due'),
      ('renewal_pipeline', 'current_arr',
       'Annual recurring revenue now, in the currency of customers.arr; NULL: not known'),
      ('renewal_pipeline', 'forecasted_arr',
       'Annual recurring revenue expected after the renewal, in the currency of customers.arr; NULL: no forecast'),
      ('renewal_pipeline', 'stage', 'healthy, at_risk, churned or expanded'),
      ('renewal_pipeline', 'probability', 'Likelihood of renewal; the product defines the scale. NULL: not estimated'),
      ('renewal_pipeline', 'notes', 'Remarks, for people'),
      ('qbrs', 'id', 'Review id'),
      ('qbrs', 'customer_id', 'The customer under review'),
      ('qbrs', 'scheduled_date', 'Day of the review; NULL: not scheduled yet'),
      ('qbrs', 'status', 'scheduled, completed or cancelled'),
      ('qbrs', 'attendees', 'Who takes part, any JSON; the product defines its form'),
      ('qbrs', 'presentation_url', 'Where the slides are stored; NULL: none'),
      ('qbrs', 'action_items', 'What was agreed to do, any JSON; the product defines its form'),
      ('qbrs', 'notes', 'Remarks, for people'),
      ('agent_sessions', 'id', 'Session id, chosen by the client'),
      ('agent_sessions', 'customer_id',
       'The customer the session is about; from SessionUpsert, or from the tenant key that created the row. NULL: not '
       'known, or not in customers (metadata.unresolved_customer_id then holds the id)'),
      ('agent_sessions', 'user_id',
       'The user who holds the session and may see it; from SessionUpsert. NULL: not known, or not in users '
       '(metadata.unresolved_user_id then holds the id)'),
      ('agent_sessions', 'title', 'Title, for people; from SessionUpsert. NULL: not given'),
      ('agent_sessions', 'created_at', 'Time of the earliest event that names the session, by the client''s clock'),
      ('agent_sessions', 'updated_at',
       'Time of the latest SessionUpsert, by the client''s clock; equal to created_at until one arrives'),
      ('agent_messages', 'id', 'Message id, chosen by the client'),
      ('agent_messages', 'session_id', 'The session of the message; NULL: the message belongs to a run only'),
      ('agent_messages', 'role', 'Who speaks: user, assistant, system or tool'),
      ('agent_messages', 'content', 'Text of the message'),
      ('agent_messages', 'thinking', 'Reasoning of the model that came with the message'),
      ('agent_messages', 'tool_calls', 'Tool calls in the message, any JSON'),
      ('agent_messages', 'metadata', 'Further data, a JSON object'),
      ('agent_runs', 'id', 'Run id, chosen by the client'),
      ('agent_runs', 'session_id',
       'The session of the run; from RunStarted, or from RunObserved until a start arrives. NULL: none, or not known '
       'yet'),
      ('agent_runs', 'agent_id',
       'Which agent, for example renewal-assistant; from RunStarted, or from RunObserved until a start arrives. '
       'unknown: not given'),
      ('agent_runs', 'agent_type',
       'Which kind of agent, for example orchestrator; from RunStarted, or from RunObserved until a start arrives. '
       'unknown: not given'),
      ('agent_runs', 'customer_id',
       'The customer the run is about; from RunStarted, or from the tenant key until a start arrives. NULL: not known, '
       'or not in customers (metadata.unresolved_customer_id then holds the id)'),
      ('agent_runs', 'status', 'running until an end is known, then completed or failed'),
      ('agent_runs', 'input', 'What the run was asked; from RunStarted, or from RunObserved until a start arrives'),
      ('agent_runs', 'output',
       'The answer of the run; from RunEnded. From RunObserved while there is no end, and if the end comes from a root '
       'span without output'),
      ('agent_runs', 'total_tokens_input',
       'Input tokens, cached ones included. Exact once the run is final, late events included; before that use '
       'run_summary.tokens_input. Capped at 2147483647'),
      ('agent_runs', 'total_tokens_output',
       'Output tokens, reasoning included. Exact once the run is final, late events included; before that use '
       'run_summary.tokens_output. Capped at 2147483647'),
      ('agent_runs', 'started_at',
       'Earliest known start, by the client''s clock. If no start is known: NULL while the run is live, the time of '
       'its earliest event once it is final'),
      ('agent_runs', 'ended_at',
       'When the run ended, by the client''s clock; for an abandoned run the time of its latest event. NULL while '
       'running'),
      ('agent_runs', 'metadata',
       'Further data, a JSON object; from RunStarted, or from RunObserved until a start arrives. The daemon adds '
       'unresolved_customer_id: an id that is not in customers'),
      ('agent_steps', 'id', 'Step id, chosen by the client'),
      ('agent_steps', 'run_id', 'The run of the step'),
      ('agent_steps', 'step_type',
       'thinking, tool_call, tool_result, llm_call, handoff or other (kind says what). NULL: only the end of the step '
       'has arrived, without details'),
      ('agent_steps', 'name', 'Name of the tool, the agent or the call; NULL: not given'),
      ('agent_steps', 'input', 'What went in, any JSON'),
      ('agent_steps', 'output', 'What came out, any JSON; from StepEnded'),
      ('approvals', 'id', 'Approval id, chosen by the client'),
      ('approvals', 'session_id', 'The session in which approval was asked; NULL: the approval belongs to a run only'),
      ('approvals', 'action_type',
       'What is to be approved, for example send_email. unknown: not given, or the request has not arrived'),
      ('approvals', 'action_description', 'What is to be approved, for people'),
      ('approvals', 'action_data', 'Arguments of the action, any JSON'),
      ('approvals', 'status',
       'pending, approved, rejected or expired. The sweeper sets expired when expires_at has passed; a late decision '
       'replaces it'),
      ('approvals', 'decided_by',
       'The user who decided; from ApprovalDecided. NULL: nobody yet, not given, or not in users '
       '(metadata.unresolved_decided_by then holds the id)'),
      ('approvals', 'decided_at',
       'When the decision was made, by the client''s clock; NULL: no decision, also if the sweeper set expired'),
      ('approvals', 'notes', 'Why it was decided so, for people; from ApprovalDecided'),
      ('approvals', 'expires_at', 'When an undecided request expires; from ApprovalRequested. NULL: never')
    ) AS t (name, column_name, about)
    JOIN pg_attribute AS a
      ON a.attrelid = to_regclass(t.name) AND a.attname = t.column_name AND NOT a.attisdropped
    WHERE col_description(a.attrelid, a.attnum) IS NULL
  LOOP
    EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', one.name, one.column_name, one.about);
  END LOOP;

  FOR one IN
    SELECT *
    FROM (VALUES
      ('users',
       'People who use the product; the sub claim of a request is a users.id',
       'People who use the product. The sub claim of a request is a users.id'),
      ('customers',
       'Customers, the central entity; csm_id is who looks after one',
       'Customers, the central table. The product writes it; the daemon only reads id and deleted_at'),
      ('stakeholders',
       'Contacts at a customer',
       'Contacts at a customer. Written by the product'),
      ('contracts',
       'Contracts of a customer',
       'Contracts of a customer. Written by the product'),
      ('entitlements',
       'What a customer purchased',
       'What a customer purchased. Written by the product'),
      ('health_scores',
       'Health of a customer over time (PROVE framework), each 0 to 100',
       'Health measurements of a customer over time (PROVE framework). Every score is 0 to 100. Written by the product'),
      ('usage_metrics',
       'How much a customer uses the product, by day',
       'How much a customer uses the product, by day. Written by the product'),
      ('risk_signals',
       'Signs that a customer may leave; open while resolved_at is NULL',
       'Signs that a customer may leave. A signal is open while resolved_at is NULL. Written by the product'),
      ('renewal_pipeline',
       'Renewals ahead and their forecast',
       'Coming renewals and their forecast. Written by the product'),
      ('qbrs',
       'Quarterly business reviews',
       'Quarterly business reviews with a customer. Written by the product'),
      ('agent_sessions',
       'Conversations with an agent',
       'Conversations with an agent. The daemon creates a row when an event first names the session'),
      ('agent_messages',
       'Messages of a conversation, and of a run',
       'Messages of sessions and runs, one row per MessageAppended'),
      ('agent_runs',
       'Runs of an agent; read them through run_summary and run_timeline',
       'Runs of an agent. Read them through run_summary and run_timeline')
    ) AS t (name, before, after)
    WHERE obj_description(to_regclass(name), 'pg_class') = before || ours
  LOOP
    EXECUTE format('COMMENT ON TABLE %I IS %L', one.name, one.after || ours);
  END LOOP;

  IF obj_description('public.is_admin(uuid)'::regprocedure, 'pg_proc') =
     'Whether a user is an admin (users.is_admin); a request gets true only about itself' || ours THEN
    EXECUTE format(
      'COMMENT ON FUNCTION public.is_admin(uuid) IS %L',
      'True if the user is an admin (users.is_admin). A request gets true only for its own user; a connection without '
      'claims may ask about any user' || ours);
  END IF;
END
$migration$;

-- The daemon's own tables and columns, views and functions.

COMMENT ON COLUMN users.is_admin IS
  'True: the user may read the rows of every customer and user, but not ingest_keys. Only the operator sets it; no '
  'policy lets a user write it';

COMMENT ON COLUMN customers.deleted_at IS
  'When the customer was deleted (soft delete); NULL: not deleted. The customer views leave deleted customers out, the '
  'table does not: add deleted_at IS NULL to your own queries. Keys of a deleted customer are not valid. Set by the '
  'product';

COMMENT ON COLUMN agent_sessions.external_id IS
  'The source''s own id of the session if that id is not a UUID; from SessionUpsert';
COMMENT ON COLUMN agent_sessions.metadata IS
  'Further data, a JSON object; from SessionUpsert. The daemon adds unresolved_customer_id and unresolved_user_id: ids '
  'that are not in customers or users';
COMMENT ON COLUMN agent_sessions.merge_times IS
  'Merge state: event times of the values of customer_id, user_id, title, external_id and metadata, in this order';
COMMENT ON COLUMN agent_sessions.tenant_id IS
  'Merge state: the customer whose tenant key created the row; keys of other customers may not write to it. NULL: '
  'created without a tenant key, so customer_id decides';

COMMENT ON COLUMN agent_messages.created_at IS 'When the message was added, by the client''s clock';
COMMENT ON COLUMN agent_messages.run_id IS 'The run of the message; NULL: the message belongs to a session only';
COMMENT ON COLUMN agent_messages.step_id IS
  'The step of that run that sent or received the message; NULL: not given. The step may be missing from agent_steps';
COMMENT ON COLUMN agent_messages.seq IS
  'Position among the messages of the run, from the client. It orders messages of the same time. NULL: not given';
COMMENT ON COLUMN agent_messages.sighting IS
  'Merge state: true if the message is known only from a history that repeats it; otherwise NULL';

COMMENT ON COLUMN agent_runs.parent_run_id IS
  'The run that started this one; from RunStarted. NULL: none. The parent may be missing from agent_runs';
COMMENT ON COLUMN agent_runs.name IS
  'Name of the run, for people; from RunStarted, or from RunObserved until a start arrives';
COMMENT ON COLUMN agent_runs.error IS
  'What went wrong, for people; from RunEnded, from RunObserved if a part failed, or from the sweeper. NULL: nothing '
  'was reported';
COMMENT ON COLUMN agent_runs.end_metadata IS 'Further data known at the end, a JSON object; from RunEnded';
COMMENT ON COLUMN agent_runs.duration_ms IS
  'ended_at minus started_at in whole milliseconds; 0 if the end is before the start, NULL if one of them is unknown. '
  'Computed by Postgres';
COMMENT ON COLUMN agent_runs.last_event_at IS
  'Time of the latest event of the run, by the client''s clock. May lag while the run is live; '
  'run_summary.last_event_at is exact';
COMMENT ON COLUMN agent_runs.finalized_by IS
  'Which end the row shows: client (an end event), root_span (the end of a trace, OTLP) or abandoned (the sweeper). '
  'NULL while running';
COMMENT ON COLUMN agent_runs.reported_tokens_input IS
  'Input tokens as the runtime reports them, cached ones included; from RunEnded. They are the total only if the run '
  'has no token count. NULL: not reported';
COMMENT ON COLUMN agent_runs.reported_tokens_output IS
  'Output tokens as the runtime reports them, reasoning included; from RunEnded. They are the total only if the run '
  'has no token count. NULL: not reported';
COMMENT ON COLUMN agent_runs.timeout_ms IS
  'Milliseconds of silence after which the run counts as abandoned; from RunStarted. NULL: --run-timeout of the daemon '
  'applies';
COMMENT ON COLUMN agent_runs.start_event_at IS
  'Merge state: event time of the RunStarted that the row shows; NULL: none has arrived, the row is a placeholder';
COMMENT ON COLUMN agent_runs.alive_at IS 'Merge state: latest event time of a start, a heartbeat or an end of the run';
COMMENT ON COLUMN agent_runs.abandon_at IS
  'Merge state: when the sweeper may close the run, by the database''s clock; NULL once the run is final';
COMMENT ON COLUMN agent_runs.observed IS
  'Merge state: what RunObserved events report. Each field is [rank, microseconds since 2000-01-01 UTC, value]';
COMMENT ON COLUMN agent_runs.output_observed IS
  'Merge state: true if output comes from observed, not from the end; otherwise NULL';
COMMENT ON COLUMN agent_runs.status_observed IS
  'Merge state: true if a part of the run failed although the root span says completed: status then comes from '
  'observed; otherwise NULL';
COMMENT ON COLUMN agent_runs.root_started_at IS 'Merge state: earliest start that an end reports';
COMMENT ON COLUMN agent_runs.tenant_id IS
  'Merge state: the customer whose tenant key created the row; keys of other customers may not write to it. NULL: '
  'created without a tenant key, so customer_id or else the session decides';
COMMENT ON COLUMN agent_runs.error_observed IS
  'Merge state: true if error comes from observed, not from the end; otherwise NULL';
COMMENT ON COLUMN agent_runs.summed_by IS
  'Merge state: number of the only writer that may know the sums of the rows below the run. NULL: the daemon reads '
  'these rows when the run ends';

COMMENT ON COLUMN agent_steps.duration_ms IS
  'Duration in milliseconds: as the client measured it, otherwise ended_at minus started_at. NULL while the step is '
  'open, and if its start is unknown';
COMMENT ON COLUMN agent_steps.created_at IS
  'When the step began, by the client''s clock. If the start is unknown: when it ended';
COMMENT ON COLUMN agent_steps.parent_step_id IS
  'The step of the same run that this step is part of; NULL: none. The parent may be missing from agent_steps';
COMMENT ON COLUMN agent_steps.kind IS
  'Finer type in the source''s own words, for example retriever, embedding or guardrail; NULL: not given';
COMMENT ON COLUMN agent_steps.status IS
  'running until the step or its run ends, then completed or failed. NULL: the daemon did not write the row';
COMMENT ON COLUMN agent_steps.error IS 'What went wrong, for people; from StepEnded. NULL: nothing was reported';
COMMENT ON COLUMN agent_steps.model IS 'The model that was called; NULL: not given';
COMMENT ON COLUMN agent_steps.started_at IS 'Earliest known start, by the client''s clock; NULL: not known';
COMMENT ON COLUMN agent_steps.ended_at IS
  'When the step ended, by the client''s clock; the end of the run if closed_with_run. NULL while open';
COMMENT ON COLUMN agent_steps.metadata IS
  'Further data, a JSON object. other_view holds the metadata of a poorer view of the same step';
COMMENT ON COLUMN agent_steps.closed_with_run IS
  'True: no end of the step arrived, so the end of the run closed it. Otherwise NULL';
COMMENT ON COLUMN agent_steps.duration_reported IS
  'Merge state: true if the client measured duration_ms; otherwise NULL';
COMMENT ON COLUMN agent_steps.details_rank IS
  'Merge state: where the details come from: 0 there are none, 1 a start, 2 an end that the row does not show. NULL: '
  'the end that the row shows';
COMMENT ON COLUMN agent_steps.details_at IS
  'Merge state: event time of the details. NULL: they come from the end that the row shows, or there are none';
COMMENT ON COLUMN agent_steps.named_parent_step_id IS
  'Merge state: the parent as the event named it, if it may be an alias; parent_step_id is the step that it stands for';
COMMENT ON COLUMN agent_steps.details_view IS
  'Merge state: which view the details come from, if they are not those of the end that the row shows; NULL: 0, the '
  'full view';
COMMENT ON COLUMN agent_steps.other_view IS
  'Merge state: [details, end, columns]: the best details and the best end of a poorer view, and a bit mask of the '
  'columns that show them. NULL: there is no poorer view';
COMMENT ON COLUMN agent_steps.view IS 'Merge state: which view the end comes from; NULL: 0, the full view';

COMMENT ON TABLE agent_token_counts IS
  'Tokens used, one row per TokenCount. The totals of a run are the sums of its rows that are not roll-ups';
COMMENT ON COLUMN agent_token_counts.id IS 'Token count id, chosen by the client so that a retry counts once';
COMMENT ON COLUMN agent_token_counts.run_id IS 'The run that used the tokens';
COMMENT ON COLUMN agent_token_counts.step_id IS
  'The step of that run that used the tokens; NULL: not given. The step may be missing from agent_steps';
COMMENT ON COLUMN agent_token_counts.model IS 'The model that used the tokens; NULL: not given';
COMMENT ON COLUMN agent_token_counts.input IS 'Input tokens, cache_read and cache_write included; NULL: not given';
COMMENT ON COLUMN agent_token_counts.output IS 'Output tokens, reasoning included; NULL: not given';
COMMENT ON COLUMN agent_token_counts.cache_read IS 'Input tokens read from a cache; NULL: not given';
COMMENT ON COLUMN agent_token_counts.cache_write IS 'Input tokens written to a cache; NULL: not given';
COMMENT ON COLUMN agent_token_counts.reasoning IS 'Output tokens used for reasoning; NULL: not given';
COMMENT ON COLUMN agent_token_counts.rollup IS
  'True: the row repeats tokens that other rows count (the sum of a parent). It is stored, but not added to the totals '
  'of the run';
COMMENT ON COLUMN agent_token_counts.created_at IS 'When the tokens were used, by the client''s clock';

COMMENT ON COLUMN approvals.created_at IS
  'When approval was requested, by the client''s clock; NULL: the request has not arrived';
COMMENT ON COLUMN approvals.run_id IS 'The run that waits; NULL: the approval belongs to a session only';
COMMENT ON COLUMN approvals.step_id IS
  'The step of that run that waits; NULL: not given. The step may be missing from agent_steps';
COMMENT ON COLUMN approvals.metadata IS
  'Further data, a JSON object. The daemon sets unresolved_decided_by: an id that is not in users';
COMMENT ON COLUMN approvals.requested_event_at IS
  'Merge state: event time of the ApprovalRequested that the row shows; NULL: none has arrived, the row is a '
  'placeholder';

COMMENT ON TABLE agent_step_aliases IS
  'Ids that the steps of a run may name as their parent, and what each id stands for. Only bridges send them '
  '(StepAliased). agent_steps.parent_step_id holds the result';
COMMENT ON COLUMN agent_step_aliases.id IS 'The alias: an id that steps name as their parent';
COMMENT ON COLUMN agent_step_aliases.run_id IS
  'The run whose steps use the alias. It may be missing from agent_runs, also for good';
COMMENT ON COLUMN agent_step_aliases.step_id IS
  'The step that the alias stands for; NULL: it is no step, and steps below it belong below parent_step_id';
COMMENT ON COLUMN agent_step_aliases.parent_step_id IS
  'What the alias itself is below, a step or another alias; NULL: nothing, it is at the top';
COMMENT ON COLUMN agent_step_aliases.root_started_at IS
  'If the alias is the root of the trace: when that root began, by the client''s clock; otherwise NULL';
COMMENT ON COLUMN agent_step_aliases.root_ended_at IS
  'If the alias is the root of the trace: when that root, and with it the run, ended, by the client''s clock; '
  'otherwise NULL';
COMMENT ON COLUMN agent_step_aliases.root_status IS
  'If the alias is the root of the trace: completed or failed; otherwise NULL';
COMMENT ON COLUMN agent_step_aliases.root_error IS
  'If the alias is the root of the trace: what went wrong, for people; otherwise NULL';
COMMENT ON COLUMN agent_step_aliases.root_name IS
  'If the alias is the root of the trace: its name, for people; otherwise NULL';
COMMENT ON COLUMN agent_step_aliases.run_pending IS
  'Merge state: true if the run did not exist when the alias arrived; otherwise NULL. A day later the sweeper clears '
  'the mark if the run exists, and deletes the alias if it does not';
COMMENT ON COLUMN agent_step_aliases.created_at IS 'When the alias was stored, by the database''s clock';
COMMENT ON COLUMN agent_step_aliases.tenant_id IS
  'Merge state: the customer whose tenant key brought the alias; it has no effect on runs of others. NULL: no tenant '
  'key brought it';

COMMENT ON TABLE ingest_dead_letters IS
  'Events that Postgres refused, and spooled events that were refused after their client had its ack. They are stored '
  'whole, so that no event is lost. Written by the daemon';
COMMENT ON COLUMN ingest_dead_letters.id IS
  'Derived from the event and its tenant, so that a retry is not stored twice';
COMMENT ON COLUMN ingest_dead_letters.received_at IS 'When the event was first stored here, by the database''s clock';
COMMENT ON COLUMN ingest_dead_letters.source IS 'The protocol of payload. The daemon always writes native';
COMMENT ON COLUMN ingest_dead_letters.code IS
  'Why it was refused, for programs: an SQLSTATE, or a refusal code in lower case';
COMMENT ON COLUMN ingest_dead_letters.reason IS 'Why it was refused, for people';
COMMENT ON COLUMN ingest_dead_letters.payload IS
  'The event in the protocol''s JSON form; you can send it again as it is';
COMMENT ON COLUMN ingest_dead_letters.replayed_at IS
  'When the event was sent again with success, by the database''s clock; NULL: not yet, or it was refused again';
COMMENT ON COLUMN ingest_dead_letters.tenant_id IS
  'The customer whose tenant key sent the event; it may be sent again only for this customer. NULL: no tenant key';

COMMENT ON TABLE ingest_keys IS 'Keys that clients send events with. Written by the operator (runtraced keys)';
COMMENT ON COLUMN ingest_keys.id IS 'The public part of the key; names the key without revealing it';
COMMENT ON COLUMN ingest_keys.key_sha256 IS 'SHA-256 of the key, 32 bytes; the key itself is not stored';
COMMENT ON COLUMN ingest_keys.customer_id IS 'The only customer that the key may write for; NULL: any';
COMMENT ON COLUMN ingest_keys.created_at IS 'When the key was created, by the database''s clock';
COMMENT ON COLUMN ingest_keys.revoked_at IS 'When the key was revoked, by the database''s clock; NULL: not revoked';
COMMENT ON COLUMN ingest_keys.max_events_per_second IS
  'Events per second that the key may send to one daemon; NULL: no limit';
COMMENT ON COLUMN ingest_keys.max_bytes_per_second IS
  'Bytes per second that the key may send to one daemon, counted as the events'' size in the daemon''s memory; NULL: '
  'no limit';

COMMENT ON TABLE ingest_ledger IS
  'The outcome of every event received, by daemon process and shard. Read it through ingest_reconciliation. Written by '
  'the daemon';
COMMENT ON COLUMN ingest_ledger.instance IS 'Id of one daemon process, from its start to its end';
COMMENT ON COLUMN ingest_ledger.shard IS
  'Number of the shard in that process; the replayer of the spool has a number of its own';
COMMENT ON COLUMN ingest_ledger.started_at IS 'When the row was created, by the database''s clock';
COMMENT ON COLUMN ingest_ledger.received IS
  'Events taken from clients, whatever their outcome; without those handed to the spool. If spool is set: events '
  'handed to the spool and events found in it at start, less those that a later daemon took over';
COMMENT ON COLUMN ingest_ledger.committed IS 'Events that created or changed a row';
COMMENT ON COLUMN ingest_ledger.duplicate IS 'Events whose content was stored already';
COMMENT ON COLUMN ingest_ledger.spooled IS 'Events in the disk spool now, to be committed later';
COMMENT ON COLUMN ingest_ledger.dead_lettered IS 'Events stored in ingest_dead_letters';
COMMENT ON COLUMN ingest_ledger.ignored IS 'Events with nothing to store; currently always 0';
COMMENT ON COLUMN ingest_ledger.spool IS
  'Id of the spool that the events of this row went through, if the row is that of the replayer; NULL: the row is that '
  'of a writer';

COMMENT ON VIEW ingest_reconciliation IS
  'The outcome of every event received, by daemon process: received = committed + duplicate + refused + spooled + '
  'dead_lettered + ignored + in_flight';
COMMENT ON COLUMN ingest_reconciliation.instance IS 'Id of one daemon process, from its start to its end';
COMMENT ON COLUMN ingest_reconciliation.started_at IS 'When the daemon wrote its first count, by the database''s clock';
COMMENT ON COLUMN ingest_reconciliation.updated_at IS
  'When the daemon wrote its latest count, by the database''s clock';
COMMENT ON COLUMN ingest_reconciliation.received IS
  'Events taken from clients and events found in the spool at start, whatever their outcome, less those that a later '
  'daemon took over';
COMMENT ON COLUMN ingest_reconciliation.committed IS 'Events that created or changed a row';
COMMENT ON COLUMN ingest_reconciliation.duplicate IS 'Events whose content was stored already';
COMMENT ON COLUMN ingest_reconciliation.refused IS 'Events refused with a reason';
COMMENT ON COLUMN ingest_reconciliation.spooled IS 'Events in the disk spool now, to be committed later';
COMMENT ON COLUMN ingest_reconciliation.dead_lettered IS 'Events stored in ingest_dead_letters';
COMMENT ON COLUMN ingest_reconciliation.ignored IS 'Events with nothing to store; currently always 0';
COMMENT ON COLUMN ingest_reconciliation.in_flight IS
  'Events received and not settled yet. 0 when the daemon is idle; any other value then means lost events';

COMMENT ON VIEW customer_health IS
  'Customers with their latest health measurement; for one customer: WHERE id = …. Soft-deleted customers are left out';
COMMENT ON COLUMN customer_health.id IS 'customers.id';
COMMENT ON COLUMN customer_health.name IS 'customers.name: name of the customer';
COMMENT ON COLUMN customer_health.arr IS 'customers.arr: annual recurring revenue';
COMMENT ON COLUMN customer_health.tier IS 'customers.tier: enterprise, mid-market or smb';
COMMENT ON COLUMN customer_health.current_health_score IS
  'customers.health_score. It has its own name because health_score is the latest measurement here';
COMMENT ON COLUMN customer_health.renewal_date IS 'customers.renewal_date: when the contract is next due for renewal';
COMMENT ON COLUMN customer_health.csm_id IS 'customers.csm_id: customer success manager';
COMMENT ON COLUMN customer_health.status IS 'customers.status: state of the customer, in the product''s own words';
COMMENT ON COLUMN customer_health.created_at IS 'customers.created_at: when the row of the customer was created';
COMMENT ON COLUMN customer_health.updated_at IS 'customers.updated_at: when the row of the customer was last changed';
COMMENT ON COLUMN customer_health.product IS 'health_scores.product of the latest measurement: feature adoption';
COMMENT ON COLUMN customer_health.risk IS 'health_scores.risk of the latest measurement: risk factors';
COMMENT ON COLUMN customer_health.outcomes IS 'health_scores.outcomes of the latest measurement: goal achievement';
COMMENT ON COLUMN customer_health.voice IS 'health_scores.voice of the latest measurement: engagement of the customer';
COMMENT ON COLUMN customer_health.engagement IS
  'health_scores.engagement of the latest measurement: activity of the customer';
COMMENT ON COLUMN customer_health.health_calculated_at IS 'When the latest measurement was made; NULL: never measured';

COMMENT ON VIEW customers_at_risk IS
  'Customers whose health is below 60, or that have an open risk signal of severity high or critical; lowest health '
  'first. Soft-deleted customers are left out';
COMMENT ON COLUMN customers_at_risk.id IS 'customers.id';
COMMENT ON COLUMN customers_at_risk.name IS 'customers.name: name of the customer';
COMMENT ON COLUMN customers_at_risk.arr IS 'customers.arr: annual recurring revenue';
COMMENT ON COLUMN customers_at_risk.tier IS 'customers.tier: enterprise, mid-market or smb';
COMMENT ON COLUMN customers_at_risk.health_score IS 'customers.health_score: current overall health, 0 to 100';
COMMENT ON COLUMN customers_at_risk.renewal_date IS 'customers.renewal_date: when the contract is next due for renewal';
COMMENT ON COLUMN customers_at_risk.csm_id IS 'customers.csm_id: customer success manager';
COMMENT ON COLUMN customers_at_risk.status IS 'customers.status: state of the customer, in the product''s own words';
COMMENT ON COLUMN customers_at_risk.created_at IS 'customers.created_at: when the row of the customer was created';
COMMENT ON COLUMN customers_at_risk.updated_at IS 'customers.updated_at: when the row of the customer was last changed';
COMMENT ON COLUMN customers_at_risk.active_signals IS
  'Number of open risk signals. If the health is 60 or more, or unknown, only those of severity high and critical are '
  'counted';

COMMENT ON VIEW upcoming_renewals IS
  'Renewals of the next 90 days, the next one first. Soft-deleted customers are left out';
COMMENT ON COLUMN upcoming_renewals.customer_id IS 'customers.id, which is also renewal_pipeline.customer_id';
COMMENT ON COLUMN upcoming_renewals.name IS 'customers.name: name of the customer';
COMMENT ON COLUMN upcoming_renewals.arr IS 'customers.arr: annual recurring revenue';
COMMENT ON COLUMN upcoming_renewals.tier IS 'customers.tier: enterprise, mid-market or smb';
COMMENT ON COLUMN upcoming_renewals.health_score IS 'customers.health_score: current overall health, 0 to 100';
COMMENT ON COLUMN upcoming_renewals.customer_renewal_date IS
  'customers.renewal_date: when the contract is next due for renewal';
COMMENT ON COLUMN upcoming_renewals.csm_id IS 'customers.csm_id: customer success manager';
COMMENT ON COLUMN upcoming_renewals.status IS 'customers.status: state of the customer, in the product''s own words';
COMMENT ON COLUMN upcoming_renewals.created_at IS 'customers.created_at: when the row of the customer was created';
COMMENT ON COLUMN upcoming_renewals.updated_at IS 'customers.updated_at: when the row of the customer was last changed';
COMMENT ON COLUMN upcoming_renewals.renewal_date IS
  'renewal_pipeline.renewal_date. It counts as midnight in the session''s time zone, so a renewal that is due today is '
  'no longer listed';
COMMENT ON COLUMN upcoming_renewals.current_arr IS 'renewal_pipeline.current_arr: annual recurring revenue now';
COMMENT ON COLUMN upcoming_renewals.forecasted_arr IS
  'renewal_pipeline.forecasted_arr: annual recurring revenue expected after the renewal';
COMMENT ON COLUMN upcoming_renewals.stage IS 'renewal_pipeline.stage: healthy, at_risk, churned or expanded';
COMMENT ON COLUMN upcoming_renewals.probability IS
  'renewal_pipeline.probability: likelihood of renewal, on the product''s scale';
COMMENT ON COLUMN upcoming_renewals.notes IS 'renewal_pipeline.notes: remarks, for people';

COMMENT ON VIEW run_summary IS
  'One row per run, exact at any time. One run: WHERE run_id = …. The latest runs: WHERE started_at IS NOT NULL ORDER '
  'BY started_at DESC LIMIT 20';
COMMENT ON COLUMN run_summary.session_id IS 'The session of the run; NULL: none, or not known yet';
COMMENT ON COLUMN run_summary.parent_run_id IS
  'The run that started this one; NULL: none. The parent may be missing from agent_runs';
COMMENT ON COLUMN run_summary.agent_id IS 'Which agent; unknown: not given';
COMMENT ON COLUMN run_summary.agent_type IS 'Which kind of agent; unknown: not given';
COMMENT ON COLUMN run_summary.name IS 'Name of the run, for people';
COMMENT ON COLUMN run_summary.customer_id IS 'The customer the run is about; NULL: not known, or not in customers';
COMMENT ON COLUMN run_summary.status IS 'running, completed or failed';
COMMENT ON COLUMN run_summary.finalized_by IS
  'Which end the row shows: client (an end event), root_span (the end of a trace, OTLP) or abandoned (the sweeper). '
  'NULL while running';
COMMENT ON COLUMN run_summary.started_at IS
  'When the run started, by the client''s clock; NULL while the start is unknown (see first_event_at). Sort by this '
  'column';
COMMENT ON COLUMN run_summary.ended_at IS 'When the run ended, by the client''s clock; NULL while running';
COMMENT ON COLUMN run_summary.first_event_at IS 'started_at; while that is unknown, the time of the earliest event';
COMMENT ON COLUMN run_summary.last_event_at IS 'Time of the latest event of the run or of anything in it';
COMMENT ON COLUMN run_summary.duration_ms IS
  'Whole milliseconds from the start (or the earliest event) to the end; 0 if the end is before the start; NULL while '
  'running';
COMMENT ON COLUMN run_summary.running_ms IS
  'Milliseconds from the start (or the earliest event) to now, by the database''s clock; NULL unless the run is live';
COMMENT ON COLUMN run_summary.waiting_ms IS
  'Milliseconds in which at least one approval was pending, within the time of the run. Approvals that are still '
  'pending count until now';
COMMENT ON COLUMN run_summary.tokens_input IS
  'Input tokens, cached ones included: the sum of the token counts that are not roll-ups; if there are none, the total '
  'that the runtime reported';
COMMENT ON COLUMN run_summary.tokens_output IS 'Output tokens, reasoning included; computed as tokens_input is';
COMMENT ON COLUMN run_summary.tokens_cache_read IS 'Input tokens read from a cache';
COMMENT ON COLUMN run_summary.tokens_cache_write IS 'Input tokens written to a cache';
COMMENT ON COLUMN run_summary.tokens_reasoning IS 'Output tokens used for reasoning';
COMMENT ON COLUMN run_summary.steps IS 'Number of steps';
COMMENT ON COLUMN run_summary.open_steps IS 'Number of steps that have not ended';
COMMENT ON COLUMN run_summary.failed_steps IS 'Number of steps that failed';
COMMENT ON COLUMN run_summary.llm_calls IS 'Number of steps of type llm_call';
COMMENT ON COLUMN run_summary.tool_calls IS 'Number of steps of type tool_call';
COMMENT ON COLUMN run_summary.messages IS 'Number of messages';
COMMENT ON COLUMN run_summary.approvals IS 'Number of approvals';
COMMENT ON COLUMN run_summary.pending_approvals IS 'Number of approvals still pending';
COMMENT ON COLUMN run_summary.error IS 'What went wrong, for people; NULL: nothing was reported';
COMMENT ON COLUMN run_summary.input IS 'What the run was asked';
COMMENT ON COLUMN run_summary.output IS 'The answer of the run';
COMMENT ON COLUMN run_summary.flags IS
  'Warnings: no_start (only parts of the run have arrived, not its start), ended_before_started, abandoned, overdue '
  '(the sweeper will close the run), steps_closed_with_run, tokens_reported (the totals are those that the runtime '
  'reported), reported_tokens_differ (from the sums of the token counts)';

COMMENT ON COLUMN run_timeline.run_id IS 'The run';
COMMENT ON COLUMN run_timeline.position IS
  'Position in the run, from 1. Order: time, then parents before their children, then message, step, approval, tokens, '
  'then seq and id';
COMMENT ON COLUMN run_timeline.item IS 'What the row is: step, message, tokens or approval';
COMMENT ON COLUMN run_timeline.step_id IS 'The step itself, or the step that the message, tokens or approval belong to';
COMMENT ON COLUMN run_timeline.parent_step_id IS 'Step: the step that it is part of; it may be missing';
COMMENT ON COLUMN run_timeline.depth IS
  '0 at the top. A step is one below its parent; any other item is one below its step. A step whose parent is missing '
  'is at 0';
COMMENT ON COLUMN run_timeline.at IS 'When the item began or happened, by the client''s clock';
COMMENT ON COLUMN run_timeline.ended_at IS 'Step: when it ended. Approval: when it was decided. NULL while open';
COMMENT ON COLUMN run_timeline.offset_ms IS
  'Whole milliseconds from the start of the run to at; negative before the start. If the start is unknown, counted '
  'from the earliest item';
COMMENT ON COLUMN run_timeline.duration_ms IS 'Step and approval: duration in whole milliseconds; NULL while open';
COMMENT ON COLUMN run_timeline.kind IS
  'Step: its kind, otherwise its step_type. Message: its role. Approval: its action_type. Tokens: usage or rollup';
COMMENT ON COLUMN run_timeline.step_type IS 'Step: thinking, tool_call, tool_result, llm_call, handoff or other';
COMMENT ON COLUMN run_timeline.name IS 'Step: its name. Approval: what is to be approved, for people';
COMMENT ON COLUMN run_timeline.status IS
  'Step: running, completed or failed. Approval: pending, approved, rejected or expired';
COMMENT ON COLUMN run_timeline.model IS 'Step and tokens: the model';
COMMENT ON COLUMN run_timeline.error IS 'Step: what went wrong, for people';
COMMENT ON COLUMN run_timeline.tokens_input IS
  'Tokens: input, cached ones included. Leave out rows of kind rollup when you add up';
COMMENT ON COLUMN run_timeline.tokens_output IS
  'Tokens: output, reasoning included. Leave out rows of kind rollup when you add up';
COMMENT ON COLUMN run_timeline.tokens_cache_read IS 'Tokens: input read from a cache';
COMMENT ON COLUMN run_timeline.tokens_cache_write IS 'Tokens: input written to a cache';
COMMENT ON COLUMN run_timeline.tokens_reasoning IS 'Tokens: output used for reasoning';
COMMENT ON COLUMN run_timeline.input IS 'Step: its input. Approval: the arguments of the action';
COMMENT ON COLUMN run_timeline.output IS 'Step: its output';
COMMENT ON COLUMN run_timeline.content IS 'Message: its text. Approval: the notes of the decision';
COMMENT ON COLUMN run_timeline.thinking IS 'Message: reasoning of the model that came with it';
COMMENT ON COLUMN run_timeline.tool_calls IS 'Message: its tool calls, any JSON';
COMMENT ON COLUMN run_timeline.metadata IS 'Step, message and approval: further data, a JSON object';
COMMENT ON COLUMN run_timeline.seq IS 'Message: its position among the messages of the run, from the client';
COMMENT ON COLUMN run_timeline.decided_by IS 'Approval: the user who decided';
COMMENT ON COLUMN run_timeline.flags IS
  'Warnings: open, closed_with_run, ended_before_started, parent_missing, parent_cycle, step_missing, rollup, '
  'before_run, after_run';

COMMENT ON FUNCTION public.owns_customer(uuid) IS 'True if the current user manages this customer, soft-deleted or not';
COMMENT ON FUNCTION public.owns_contract(uuid) IS
  'True if this contract belongs to a customer that the current user manages';
COMMENT ON FUNCTION public.owns_session(uuid) IS 'True if the agent session is the current user''s own';
COMMENT ON FUNCTION public.owns_run(uuid) IS
  'True if this run belongs to the current user''s own session or, if the run has no session, to a customer that the '
  'user manages';
COMMENT ON FUNCTION public.merge_observed(jsonb, jsonb) IS
  'Merges two values of agent_runs.observed, field by field; used by the daemon';
COMMENT ON FUNCTION public.run_step_tree(uuid) IS
  'Depth of each step of a run. A step whose parent is missing is at depth 0 and has the flag parent_missing, unless '
  'that parent is the root span that ended the run. A step that is its own ancestor, or is below one, is at depth 0 '
  'and has the flag parent_cycle';
COMMENT ON FUNCTION public.run_waterfall(uuid, integer) IS
  'Draws a run as lines of text: SELECT run_waterfall(run_id[, width of the bars]). ✓ completed, ✗ failed, … open; █ '
  'step or sub-run, ░ waiting for approval, ◆ message; ▸ still running, ‹ › outside the time of the run; tokens are '
  'input→output';
COMMENT ON FUNCTION public.waterfall_ms(bigint) IS 'Formats milliseconds for people; used by run_waterfall';
COMMENT ON FUNCTION public.waterfall_count(bigint) IS 'Formats a count for people; used by run_waterfall';
COMMENT ON FUNCTION public.waterfall_fit(text, integer, boolean) IS
  'Fits text into one line of at most that many terminal columns, padded if the last argument is true; used by '
  'run_waterfall';
COMMENT ON FUNCTION public.waterfall_bar(bigint, bigint, bigint, integer, text, boolean) IS
  'Draws one bar on the time axis; used by run_waterfall';
