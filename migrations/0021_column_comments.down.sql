-- Undoes 0021_column_comments: every comment is again as it was before.

-- Tables that may be the product's own: only comments that the up file made are touched.

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
    WHERE col_description(a.attrelid, a.attnum) = t.about
  LOOP
    EXECUTE format('COMMENT ON COLUMN %I.%I IS NULL', one.name, one.column_name);
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
    WHERE obj_description(to_regclass(name), 'pg_class') = after || ours
  LOOP
    EXECUTE format('COMMENT ON TABLE %I IS %L', one.name, one.before || ours);
  END LOOP;

  IF obj_description('public.is_admin(uuid)'::regprocedure, 'pg_proc') =
     'True if the user is an admin (users.is_admin). A request gets true only for its own user; a connection without '
     'claims may ask about any user' || ours THEN
    EXECUTE format(
      'COMMENT ON FUNCTION public.is_admin(uuid) IS %L',
      'Whether a user is an admin (users.is_admin); a request gets true only about itself' || ours);
  END IF;
END
$migration$;

-- The daemon's own tables and columns, views and functions.

COMMENT ON COLUMN users.is_admin IS
  'Sees the data of every customer and user; set by the operator alone, no policy lets a user write it';

COMMENT ON COLUMN customers.deleted_at IS
  'When the customer was deleted (soft delete), NULL: not. The customer views leave such rows out, the table does not: '
  'queries of one''s own filter on deleted_at IS NULL. Set by the product';

COMMENT ON COLUMN agent_sessions.external_id IS 'The source''s own id where that is no UUID; set by SessionUpsert';
COMMENT ON COLUMN agent_sessions.metadata IS
  'Anything else, a JSON object; set by SessionUpsert. unresolved_customer_id and unresolved_user_id hold ids that are '
  'in no table';
COMMENT ON COLUMN agent_sessions.merge_times IS
  'Merge state: event time of the value that stands, for customer_id, user_id, title, external_id, metadata in this '
  'order';
COMMENT ON COLUMN agent_sessions.tenant_id IS
  'Merge state: the customer whose key made the row and may write to it; NULL: made without such a key, customer_id '
  'says whose it is';

COMMENT ON COLUMN agent_messages.created_at IS 'When it was added, by the client''s clock';
COMMENT ON COLUMN agent_messages.run_id IS 'The run it was part of, if any';
COMMENT ON COLUMN agent_messages.step_id IS 'The step of that run that sent or received it; it need not be known';
COMMENT ON COLUMN agent_messages.seq IS 'Its place among the run''s messages, by the client; orders those of one time';
COMMENT ON COLUMN agent_messages.sighting IS
  'Merge state: true where the message is known only from a history that repeats it; else NULL';

COMMENT ON COLUMN agent_runs.parent_run_id IS 'The run that started this one; it need not be known. Set by RunStarted';
COMMENT ON COLUMN agent_runs.name IS 'A name for people; set by RunStarted';
COMMENT ON COLUMN agent_runs.error IS 'What went wrong, for people; set by RunEnded or the sweeper';
COMMENT ON COLUMN agent_runs.end_metadata IS 'Anything else known at the end, a JSON object; set by RunEnded';
COMMENT ON COLUMN agent_runs.duration_ms IS
  'ended_at - started_at in whole milliseconds; 0 when it ended before it started, NULL while either is unknown';
COMMENT ON COLUMN agent_runs.last_event_at IS
  'Event time of the latest event of the run; may lag while the run is live (run_summary.last_event_at is exact)';
COMMENT ON COLUMN agent_runs.finalized_by IS
  'Whose end stands: client (its end event), root_span (OTLP), abandoned (the sweeper). NULL while running';
COMMENT ON COLUMN agent_runs.reported_tokens_input IS
  'Input tokens as the runtime reports them, cached ones included; the total where the ledger has no row. Set by '
  'RunEnded';
COMMENT ON COLUMN agent_runs.reported_tokens_output IS
  'Output tokens as the runtime reports them, reasoning included; the total where the ledger has no row. Set by '
  'RunEnded';
COMMENT ON COLUMN agent_runs.timeout_ms IS
  'Silence in milliseconds after which this run counts as abandoned; NULL: the daemon''s --run-timeout. Set by '
  'RunStarted';
COMMENT ON COLUMN agent_runs.start_event_at IS
  'Merge state: event time of the RunStarted that stands; NULL: none has come, the row is a placeholder';
COMMENT ON COLUMN agent_runs.alive_at IS
  'Hidden merge state: greatest time of a start, heartbeat or end that came for the run.';
COMMENT ON COLUMN agent_runs.abandon_at IS
  'Merge state: when the sweeper may close the run, by the database''s clock; NULL once it is final';
COMMENT ON COLUMN agent_runs.observed IS
  'Merge state: what RunObserved told, field by field as [rank, microseconds since 2000, value]';
COMMENT ON COLUMN agent_runs.output_observed IS
  'Merge state: true where output is that of observed, and not the end''s own; else NULL';
COMMENT ON COLUMN agent_runs.status_observed IS
  'Merge state: true where a part of the run failed and the end, a root span''s, says that it completed; else NULL';
COMMENT ON COLUMN agent_runs.root_started_at IS 'Merge state: the earliest start that an end told';
COMMENT ON COLUMN agent_runs.tenant_id IS
  'Merge state: the customer whose key made the row and may write to it; NULL: made without such a key, customer_id '
  'says whose it is, or the session''s';
COMMENT ON COLUMN agent_runs.error_observed IS
  'Merge state: true where error is that of observed, and not the end''s own; else NULL';
COMMENT ON COLUMN agent_runs.summed_by IS
  'Merge state: the only writer that may know the sums of what is below the run; NULL: they are to be read';

COMMENT ON COLUMN agent_steps.duration_ms IS
  'Milliseconds: measured by the client, else ended_at - started_at; NULL while open';
COMMENT ON COLUMN agent_steps.created_at IS
  'When the step began by the client''s clock, or ended where the beginning is unknown';
COMMENT ON COLUMN agent_steps.parent_step_id IS
  'The step that this one is part of, in the same run; it need not be known';
COMMENT ON COLUMN agent_steps.kind IS 'A finer kind in the source''s own words: retriever, embedding, guardrail, …';
COMMENT ON COLUMN agent_steps.status IS
  'running until its end event or the end of its run; NULL in rows that no daemon wrote';
COMMENT ON COLUMN agent_steps.error IS 'What went wrong, for people; set by StepEnded';
COMMENT ON COLUMN agent_steps.model IS 'The model that was called';
COMMENT ON COLUMN agent_steps.started_at IS 'The earliest start known, by the client''s clock';
COMMENT ON COLUMN agent_steps.ended_at IS 'When it ended, by the client''s clock; the run''s end where closed_with_run';
COMMENT ON COLUMN agent_steps.metadata IS 'Anything else, a JSON object';
COMMENT ON COLUMN agent_steps.closed_with_run IS
  'True: no end event came, the step was closed when its run ended; else NULL';
COMMENT ON COLUMN agent_steps.duration_reported IS 'Merge state: duration_ms is the client''s own measurement';
COMMENT ON COLUMN agent_steps.details_rank IS
  'Merge state: where the details come from (an end event outranks a start)';
COMMENT ON COLUMN agent_steps.details_at IS 'Merge state: event time of the details that stand';
COMMENT ON COLUMN agent_steps.named_parent_step_id IS
  'Merge state: the parent as the event named it, where that may be an alias; parent_step_id is what it stands for';
COMMENT ON COLUMN agent_steps.details_view IS
  'Merge state: whose view the details are, where they are not the end''s; NULL: 0';
COMMENT ON COLUMN agent_steps.other_view IS
  'Merge state: the greatest details and end of a poorer view, and which columns are filled from them';
COMMENT ON COLUMN agent_steps.view IS 'Merge state: whose view the end is; NULL: 0, the full one';

COMMENT ON TABLE agent_token_counts IS
  'Ledger of tokens used: a run''s totals are the sums of its rows that are no roll-ups. Set by TokenCount';
COMMENT ON COLUMN agent_token_counts.id IS 'Chosen by the client, so that a retry counts once';
COMMENT ON COLUMN agent_token_counts.run_id IS 'The run that used them';
COMMENT ON COLUMN agent_token_counts.step_id IS 'The step of that run that used them; it need not be known';
COMMENT ON COLUMN agent_token_counts.model IS 'The model that was paid';
COMMENT ON COLUMN agent_token_counts.input IS
  'Input tokens, those read from or written to a cache included; NULL: not said';
COMMENT ON COLUMN agent_token_counts.output IS 'Output tokens, reasoning included; NULL: not said';
COMMENT ON COLUMN agent_token_counts.cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN agent_token_counts.cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN agent_token_counts.reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN agent_token_counts.rollup IS
  'Repeats what rows of its own already say (a parent''s sum): kept, but no part of the run''s totals';
COMMENT ON COLUMN agent_token_counts.created_at IS 'When they were used, by the client''s clock';

COMMENT ON COLUMN approvals.created_at IS 'When it was requested, by the client''s clock';
COMMENT ON COLUMN approvals.run_id IS 'The run that waits, if any';
COMMENT ON COLUMN approvals.step_id IS 'The step of that run that waits; it need not be known';
COMMENT ON COLUMN approvals.metadata IS
  'Anything else, a JSON object. unresolved_decided_by holds an id that is not in users';
COMMENT ON COLUMN approvals.requested_event_at IS
  'Merge state: event time of the ApprovalRequested that stands; NULL: none has come, the row is a placeholder';

COMMENT ON TABLE agent_step_aliases IS
  'Ids that steps of a run may name as their parent, and what they stand for. Set by StepAliased; parent_step_id of '
  'agent_steps holds what came of it';
COMMENT ON COLUMN agent_step_aliases.id IS 'What others call it';
COMMENT ON COLUMN agent_step_aliases.run_id IS 'The run whose steps call it so; it need not be known, and may never be';
COMMENT ON COLUMN agent_step_aliases.step_id IS 'The step that it is; NULL: none';
COMMENT ON COLUMN agent_step_aliases.parent_step_id IS 'What it is below, which may be an alias; NULL: nothing';
COMMENT ON COLUMN agent_step_aliases.root_started_at IS 'Of the root of a trace that is no step: when it began';
COMMENT ON COLUMN agent_step_aliases.root_ended_at IS
  'Of such a root: when it ended, and the run with it; NULL: it is none';
COMMENT ON COLUMN agent_step_aliases.root_status IS 'Of such a root: how it ended';
COMMENT ON COLUMN agent_step_aliases.root_error IS 'Of such a root: what went wrong, for people';
COMMENT ON COLUMN agent_step_aliases.root_name IS 'Of such a root: its name, for people';
COMMENT ON COLUMN agent_step_aliases.run_pending IS
  'Merge state: true where the run was not there when it came; the sweeper looks a day later whether it is, and drops '
  'the alias or the mark';
COMMENT ON COLUMN agent_step_aliases.created_at IS 'When it came, by the database''s clock';
COMMENT ON COLUMN agent_step_aliases.tenant_id IS
  'Merge state: the customer whose key brought it before its run was there: no other''s run is concerned by it; NULL: '
  'nobody''s, or checked against the run';

COMMENT ON TABLE ingest_dead_letters IS
  'Events that only Postgres could refuse, kept whole so that nothing is thrown away. Written by the daemon';
COMMENT ON COLUMN ingest_dead_letters.id IS 'Made by the database';
COMMENT ON COLUMN ingest_dead_letters.received_at IS 'When it was put here, by the database''s clock';
COMMENT ON COLUMN ingest_dead_letters.source IS 'The door it came through: the protocol and its method';
COMMENT ON COLUMN ingest_dead_letters.code IS 'Why, for programs: the SQLSTATE or the daemon''s own code';
COMMENT ON COLUMN ingest_dead_letters.reason IS 'Why, for people';
COMMENT ON COLUMN ingest_dead_letters.payload IS 'The event in the protocol''s JSON form; can be sent again as it is';
COMMENT ON COLUMN ingest_dead_letters.replayed_at IS 'When it was sent again with success, NULL: not yet';
COMMENT ON COLUMN ingest_dead_letters.tenant_id IS
  'The customer whose key the event came with, for whom alone it may be sent again; NULL: none';

COMMENT ON TABLE ingest_keys IS 'Who may send events, and for whom. Written by the operator';
COMMENT ON COLUMN ingest_keys.id IS 'Names the key without giving it away';
COMMENT ON COLUMN ingest_keys.key_sha256 IS 'SHA-256 of the key; the key itself is stored nowhere';
COMMENT ON COLUMN ingest_keys.customer_id IS 'The only customer it may write for; NULL: any';
COMMENT ON COLUMN ingest_keys.created_at IS 'By the database''s clock';
COMMENT ON COLUMN ingest_keys.revoked_at IS 'From when on it is refused; NULL: valid';
COMMENT ON COLUMN ingest_keys.max_events_per_second IS
  'Events that it may send per second to one daemon; NULL: as many as it likes';
COMMENT ON COLUMN ingest_keys.max_bytes_per_second IS
  'Bytes of events, as they weigh in the daemon''s memory, that it may send per second to one daemon; NULL: any';

COMMENT ON TABLE ingest_ledger IS
  'What became of every event received, by daemon process and shard: read it through ingest_reconciliation. Written by '
  'the daemon';
COMMENT ON COLUMN ingest_ledger.instance IS 'One daemon process, from its start to its end';
COMMENT ON COLUMN ingest_ledger.shard IS 'The shard of that process';
COMMENT ON COLUMN ingest_ledger.started_at IS 'When the row was made, by the database''s clock';
COMMENT ON COLUMN ingest_ledger.received IS
  'Events taken from a client, whatever became of them; in the row with a spool, those that were spooled or found in '
  'the spool at the start';
COMMENT ON COLUMN ingest_ledger.committed IS 'Events that made or changed a row';
COMMENT ON COLUMN ingest_ledger.duplicate IS 'Events that were there already';
COMMENT ON COLUMN ingest_ledger.spooled IS 'Events that are in the disk spool now, to be committed later';
COMMENT ON COLUMN ingest_ledger.dead_lettered IS 'Events kept in ingest_dead_letters';
COMMENT ON COLUMN ingest_ledger.ignored IS 'Events that have nothing to store';
COMMENT ON COLUMN ingest_ledger.spool IS
  'The spool that this row''s spooled events are in; NULL: the row is that of a writer, which hands what it spools to '
  'the daemon''s one row with a spool';

COMMENT ON VIEW ingest_reconciliation IS
  'Per daemon process: received = committed + duplicate + refused + spooled + dead_lettered + ignored + in_flight';
COMMENT ON COLUMN ingest_reconciliation.instance IS NULL;
COMMENT ON COLUMN ingest_reconciliation.started_at IS NULL;
COMMENT ON COLUMN ingest_reconciliation.updated_at IS NULL;
COMMENT ON COLUMN ingest_reconciliation.received IS NULL;
COMMENT ON COLUMN ingest_reconciliation.committed IS NULL;
COMMENT ON COLUMN ingest_reconciliation.duplicate IS NULL;
COMMENT ON COLUMN ingest_reconciliation.refused IS NULL;
COMMENT ON COLUMN ingest_reconciliation.spooled IS NULL;
COMMENT ON COLUMN ingest_reconciliation.dead_lettered IS NULL;
COMMENT ON COLUMN ingest_reconciliation.ignored IS NULL;
COMMENT ON COLUMN ingest_reconciliation.in_flight IS
  'Received and not yet settled; 0 when the daemon is at rest, anything else then is a loss';

COMMENT ON VIEW customer_health IS
  'Each customer with the latest breakdown of its health; for one: WHERE id = …. Soft-deleted customers are left out';
COMMENT ON COLUMN customer_health.id IS NULL;
COMMENT ON COLUMN customer_health.name IS NULL;
COMMENT ON COLUMN customer_health.arr IS NULL;
COMMENT ON COLUMN customer_health.tier IS NULL;
COMMENT ON COLUMN customer_health.current_health_score IS
  'customers.health_score, under a name of its own because health_score is the latest measurement here';
COMMENT ON COLUMN customer_health.renewal_date IS NULL;
COMMENT ON COLUMN customer_health.csm_id IS NULL;
COMMENT ON COLUMN customer_health.status IS NULL;
COMMENT ON COLUMN customer_health.created_at IS NULL;
COMMENT ON COLUMN customer_health.updated_at IS NULL;
COMMENT ON COLUMN customer_health.product IS NULL;
COMMENT ON COLUMN customer_health.risk IS NULL;
COMMENT ON COLUMN customer_health.outcomes IS NULL;
COMMENT ON COLUMN customer_health.voice IS NULL;
COMMENT ON COLUMN customer_health.engagement IS NULL;
COMMENT ON COLUMN customer_health.health_calculated_at IS 'When the latest measurement was made';

COMMENT ON VIEW customers_at_risk IS
  'Customers whose health is below 60 or who have an open signal that is high or critical, worst first. Soft-deleted '
  'customers are left out';
COMMENT ON COLUMN customers_at_risk.id IS NULL;
COMMENT ON COLUMN customers_at_risk.name IS NULL;
COMMENT ON COLUMN customers_at_risk.arr IS NULL;
COMMENT ON COLUMN customers_at_risk.tier IS NULL;
COMMENT ON COLUMN customers_at_risk.health_score IS NULL;
COMMENT ON COLUMN customers_at_risk.renewal_date IS NULL;
COMMENT ON COLUMN customers_at_risk.csm_id IS NULL;
COMMENT ON COLUMN customers_at_risk.status IS NULL;
COMMENT ON COLUMN customers_at_risk.created_at IS NULL;
COMMENT ON COLUMN customers_at_risk.updated_at IS NULL;
COMMENT ON COLUMN customers_at_risk.active_signals IS
  'Open signals: all of them where the health is below 60, else the high and critical ones';

COMMENT ON VIEW upcoming_renewals IS 'Renewals of the next 90 days, next first. Soft-deleted customers are left out';
COMMENT ON COLUMN upcoming_renewals.customer_id IS 'customers.id and renewal_pipeline.customer_id, which are the same';
COMMENT ON COLUMN upcoming_renewals.name IS NULL;
COMMENT ON COLUMN upcoming_renewals.arr IS NULL;
COMMENT ON COLUMN upcoming_renewals.tier IS NULL;
COMMENT ON COLUMN upcoming_renewals.health_score IS NULL;
COMMENT ON COLUMN upcoming_renewals.customer_renewal_date IS 'customers.renewal_date';
COMMENT ON COLUMN upcoming_renewals.csm_id IS NULL;
COMMENT ON COLUMN upcoming_renewals.status IS NULL;
COMMENT ON COLUMN upcoming_renewals.created_at IS NULL;
COMMENT ON COLUMN upcoming_renewals.updated_at IS NULL;
COMMENT ON COLUMN upcoming_renewals.renewal_date IS
  'renewal_pipeline.renewal_date, taken as its midnight in the session''s time zone: one due today has begun and is no '
  'longer upcoming';
COMMENT ON COLUMN upcoming_renewals.current_arr IS NULL;
COMMENT ON COLUMN upcoming_renewals.forecasted_arr IS NULL;
COMMENT ON COLUMN upcoming_renewals.stage IS NULL;
COMMENT ON COLUMN upcoming_renewals.probability IS NULL;
COMMENT ON COLUMN upcoming_renewals.notes IS NULL;

COMMENT ON VIEW run_summary IS
  'One row per run, exact at any time. One run: WHERE run_id = …. The latest: WHERE started_at IS NOT NULL ORDER BY '
  'started_at DESC LIMIT 20';
COMMENT ON COLUMN run_summary.session_id IS NULL;
COMMENT ON COLUMN run_summary.parent_run_id IS 'The run that started this one, known or not';
COMMENT ON COLUMN run_summary.agent_id IS NULL;
COMMENT ON COLUMN run_summary.agent_type IS NULL;
COMMENT ON COLUMN run_summary.name IS NULL;
COMMENT ON COLUMN run_summary.customer_id IS NULL;
COMMENT ON COLUMN run_summary.status IS 'running, completed, failed';
COMMENT ON COLUMN run_summary.finalized_by IS
  'Whose end stands: client, root_span (OTLP), abandoned (the sweeper). NULL while running';
COMMENT ON COLUMN run_summary.started_at IS
  'When the run started; NULL while its start is unknown (see first_event_at). The column to sort by';
COMMENT ON COLUMN run_summary.ended_at IS NULL;
COMMENT ON COLUMN run_summary.first_event_at IS 'started_at or, while that is unknown, the time of the earliest event';
COMMENT ON COLUMN run_summary.last_event_at IS 'Time of the latest event of the run or anything in it';
COMMENT ON COLUMN run_summary.duration_ms IS
  'Whole milliseconds from start (or earliest event) to end; 0 when it ended before it started; NULL while running';
COMMENT ON COLUMN run_summary.running_ms IS
  'Of a live run: milliseconds since it started, by the database''s clock; else NULL';
COMMENT ON COLUMN run_summary.waiting_ms IS
  'Milliseconds in which at least one approval was awaited, pending ones until now, within the run''s own time';
COMMENT ON COLUMN run_summary.tokens_input IS
  'Input tokens, cached ones included: the sum of the ledger without roll-ups, or where it has no row the reported '
  'total';
COMMENT ON COLUMN run_summary.tokens_output IS 'Output tokens, reasoning included; found like tokens_input';
COMMENT ON COLUMN run_summary.tokens_cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN run_summary.tokens_cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN run_summary.tokens_reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN run_summary.steps IS NULL;
COMMENT ON COLUMN run_summary.open_steps IS 'Steps that have not ended';
COMMENT ON COLUMN run_summary.failed_steps IS NULL;
COMMENT ON COLUMN run_summary.llm_calls IS NULL;
COMMENT ON COLUMN run_summary.tool_calls IS NULL;
COMMENT ON COLUMN run_summary.messages IS NULL;
COMMENT ON COLUMN run_summary.approvals IS NULL;
COMMENT ON COLUMN run_summary.pending_approvals IS NULL;
COMMENT ON COLUMN run_summary.error IS NULL;
COMMENT ON COLUMN run_summary.input IS NULL;
COMMENT ON COLUMN run_summary.output IS NULL;
COMMENT ON COLUMN run_summary.flags IS
  'What a reader should know: no_start (only children are known), ended_before_started, abandoned, overdue (the '
  'sweeper will close it), steps_closed_with_run, tokens_reported (the totals are the runtime''s own), '
  'reported_tokens_differ (from the ledger''s)';

COMMENT ON COLUMN run_timeline.run_id IS NULL;
COMMENT ON COLUMN run_timeline.position IS
  'Place in the run from 1: by time, then parents before what they hold, then message, step, approval, tokens, then '
  'seq and id';
COMMENT ON COLUMN run_timeline.item IS 'What the row is: step, message, tokens, approval';
COMMENT ON COLUMN run_timeline.step_id IS 'The step itself, or the one that the message, tokens or approval belong to';
COMMENT ON COLUMN run_timeline.parent_step_id IS 'Of a step: the step that it is part of, known or not';
COMMENT ON COLUMN run_timeline.depth IS
  '0 at the top; a step is one below its parent, anything else one below its step. A missing parent counts as none';
COMMENT ON COLUMN run_timeline.at IS 'When it began or happened, by the client''s clock';
COMMENT ON COLUMN run_timeline.ended_at IS 'Of a step or approval: when it ended or was decided; NULL while open';
COMMENT ON COLUMN run_timeline.offset_ms IS
  'Whole milliseconds from the run''s start (unknown: the earliest row) to at; negative for what came before it';
COMMENT ON COLUMN run_timeline.duration_ms IS 'Of a step or approval: whole milliseconds it took; NULL while open';
COMMENT ON COLUMN run_timeline.kind IS
  'Of a step the source''s kind, else its step_type; of a message its role; of an approval its action_type; of tokens '
  'usage or rollup';
COMMENT ON COLUMN run_timeline.step_type IS NULL;
COMMENT ON COLUMN run_timeline.name IS 'Of a step its name; of an approval what is to be approved';
COMMENT ON COLUMN run_timeline.status IS
  'Of a step running, completed, failed; of an approval pending, approved, rejected, expired';
COMMENT ON COLUMN run_timeline.model IS NULL;
COMMENT ON COLUMN run_timeline.error IS NULL;
COMMENT ON COLUMN run_timeline.tokens_input IS
  'Of tokens: input, cached ones included. Leave out kind = rollup when adding up';
COMMENT ON COLUMN run_timeline.tokens_output IS 'Of tokens: output, reasoning included';
COMMENT ON COLUMN run_timeline.tokens_cache_read IS 'Of the input: read from a cache';
COMMENT ON COLUMN run_timeline.tokens_cache_write IS 'Of the input: written to a cache';
COMMENT ON COLUMN run_timeline.tokens_reasoning IS 'Of the output: reasoning';
COMMENT ON COLUMN run_timeline.input IS 'Of a step its input, of an approval its action_data';
COMMENT ON COLUMN run_timeline.output IS 'Of a step its output';
COMMENT ON COLUMN run_timeline.content IS 'Of a message its text, of an approval the notes of its decision';
COMMENT ON COLUMN run_timeline.thinking IS 'Of a message: the model''s reasoning that came with it';
COMMENT ON COLUMN run_timeline.tool_calls IS NULL;
COMMENT ON COLUMN run_timeline.metadata IS NULL;
COMMENT ON COLUMN run_timeline.seq IS 'Of a message: its place among the run''s messages, by the client';
COMMENT ON COLUMN run_timeline.decided_by IS NULL;
COMMENT ON COLUMN run_timeline.flags IS
  'What a reader should know: open, closed_with_run, ended_before_started, parent_missing, parent_cycle, step_missing, '
  'rollup, before_run, after_run';

COMMENT ON FUNCTION public.owns_customer(uuid) IS
  'Whether the current request''s user looks after this customer, soft-deleted or not';
COMMENT ON FUNCTION public.owns_contract(uuid) IS
  'Whether this contract is of a customer whom the current request''s user looks after';
COMMENT ON FUNCTION public.owns_session(uuid) IS 'Whether a session is that of the request''s user';
COMMENT ON FUNCTION public.owns_run(uuid) IS
  'Whether this run is of the current request''s user''s own session or, where it has no session, of a customer of his';
COMMENT ON FUNCTION public.merge_observed(jsonb, jsonb) IS 'Merges two values of agent_runs.observed, for the daemon';
COMMENT ON FUNCTION public.run_step_tree(uuid) IS
  'Depth of each step of a run: 0 at the top, which is also where steps go whose parent is missing (flag '
  'parent_missing, unless it is the root span that the run ended by) or that are their own ancestors (parent_cycle)';
COMMENT ON FUNCTION public.run_waterfall(uuid, integer) IS
  'A run drawn as text, line by line: SELECT run_waterfall(run_id[, cells of the bar]). ✓ ✗ … done, failed, open; █ '
  'step or sub-run, ░ waiting for approval, ◆ message; ▸ goes on, ‹ › outside the run''s time; tokens are input→output';
COMMENT ON FUNCTION public.waterfall_ms(bigint) IS 'Milliseconds for people, for run_waterfall';
COMMENT ON FUNCTION public.waterfall_count(bigint) IS 'A count for people, for run_waterfall';
COMMENT ON FUNCTION public.waterfall_fit(text, integer, boolean) IS
  'Text as one line of at most so many terminal columns, for run_waterfall';
COMMENT ON FUNCTION public.waterfall_bar(bigint, bigint, bigint, integer, text, boolean) IS
  'A bar on a time axis, for run_waterfall';
