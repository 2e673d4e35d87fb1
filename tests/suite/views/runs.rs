//! Runs made by hand. Every time is in seconds after `2026-01-01 00:00:00Z`.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::pg::{self, TestDatabase};

/// A database, and a connection whose `at(seconds)` is a time and `id(n)` an id.
pub async fn database() -> (TestDatabase, PgConnection) {
    with_functions(pg::database().await).await
}

/// The same in the plain layout, for rows that bypass triggers; [`pg::convert`] follows.
pub async fn plain_database() -> (TestDatabase, PgConnection) {
    with_functions(pg::plain_database().await).await
}

async fn with_functions(database: TestDatabase) -> (TestDatabase, PgConnection) {
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "CREATE FUNCTION at(seconds numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
           $$ SELECT '2026-01-01T00:00:00Z'::timestamptz + seconds * INTERVAL '1 second' $$;
         CREATE FUNCTION id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
           $$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$",
    )
    .await;
    (database, connection)
}

pub async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    let sql = sql.into();
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await
    {
        panic!("{error}\n{sql}");
    }
}

/// One text per row.
pub async fn lines(connection: &mut PgConnection, sql: impl Into<String>) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.into()))
        .fetch_all(connection)
        .await
        .unwrap()
}

/// A tool-using run that completes.
pub const TOOLS: &str = "
INSERT INTO agent_runs (id, agent_id, agent_type, name, status, started_at, ended_at, start_event_at, finalized_by, input, output)
  VALUES (id(1), 'renewal-assistant', 'orchestrator', 'Prepare Acme renewal', 'completed', at(0), at(12.4), at(0), 'client', 'q', 'a');
INSERT INTO agent_steps (id, run_id, parent_step_id, step_type, kind, name, model, status, started_at, ended_at, duration_ms, created_at) VALUES
  (id(11), id(1), NULL, 'llm_call', NULL, 'plan', 'sonnet', 'completed', at(0.1), at(2.1), 2000, at(0.1)),
  (id(12), id(1), NULL, 'other', 'chain', 'gather', NULL, 'completed', at(2.1), at(8.1), 6000, at(2.1)),
  (id(13), id(1), id(12), 'tool_call', NULL, 'crm.search', NULL, 'completed', at(2.1), at(4.1), 2000, at(2.1)),
  (id(14), id(1), id(12), 'tool_call', NULL, 'usage_metrics.query_with_a_very_long_name', NULL, 'completed', at(2.2), at(7.9), 5700, at(2.2)),
  (id(15), id(1), id(14), 'other', 'embedding', 'embed 検索クエリ', 'e5', 'completed', at(2.3), at(2.35), 50, at(2.3)),
  (id(16), id(1), NULL, 'llm_call', NULL, 'answer', 'sonnet', 'completed', at(8.2), at(12.3), 4100, at(8.2));
INSERT INTO agent_messages (id, run_id, step_id, role, content, created_at, seq) VALUES
  (id(21), id(1), NULL, 'user', E'What should I know\\nbefore the Acme renewal?', at(0), 1),
  (id(22), id(1), id(16), 'assistant', 'Acme is healthy.', at(12.3), 2);
INSERT INTO agent_token_counts (id, run_id, step_id, input, output, cache_read, rollup, created_at) VALUES
  (id(31), id(1), id(11), 1200, 80, NULL, false, at(2.1)),
  (id(32), id(1), id(16), 5123, 812, 2000, false, at(12.3)),
  (id(33), id(1), NULL, 6323, 892, 2000, true, at(12.4));
";

/// A run that fails in a tool while a step was still open.
pub const FAILING: &str = "
INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at, start_event_at, finalized_by, error)
  VALUES (id(2), 'qbr-writer', 'worker', 'failed', at(0), at(95), at(0), 'client', 'slides.render: timeout after 90 s');
INSERT INTO agent_steps (id, run_id, step_type, name, status, started_at, ended_at, duration_ms, created_at, error, closed_with_run) VALUES
  (id(41), id(2), 'llm_call', 'outline', 'completed', at(0), at(4), 4000, at(0), NULL, NULL),
  (id(42), id(2), 'tool_call', 'slides.render', 'failed', at(4), at(94), 90000, at(4), E'timeout after 90 s\\n  at render()', NULL),
  (id(43), id(2), 'other', 'watchdog', 'failed', at(4), at(95), 91000, at(4), NULL, true);
";

/// A run that hands off to another and waits for approval.
pub const HANDOFF: &str = "
INSERT INTO agent_runs (id, parent_run_id, agent_id, agent_type, name, status, started_at, ended_at, start_event_at, finalized_by, reported_tokens_input, reported_tokens_output) VALUES
  (id(3), NULL, 'triage', 'orchestrator', NULL, 'completed', at(0), at(300), at(0), 'client', 4100, 300),
  (id(4), id(3), 'mailer', 'worker', 'Send the offer', 'completed', at(20), at(290), at(20), 'client', NULL, NULL);
INSERT INTO agent_steps (id, run_id, step_type, name, status, started_at, ended_at, duration_ms, created_at) VALUES
  (id(51), id(3), 'handoff', 'to mailer', 'completed', at(18), at(20), 2000, at(18)),
  (id(52), id(3), 'tool_call', 'send_email', 'completed', at(30), at(280), 250000, at(30));
INSERT INTO approvals (id, run_id, step_id, action_type, action_description, status, created_at, decided_at, notes) VALUES
  (id(61), id(3), id(52), 'send_email', 'Send the offer', 'approved', at(40), at(250), 'fine by me');
";
