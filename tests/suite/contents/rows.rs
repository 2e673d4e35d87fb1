//! Hand-made rows of `agent_contents`, and runs with steps that refer to them.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// The hash with this number.
pub fn hash(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// What a step holds in place of a value.
pub fn reference(number: u128) -> Value {
    json!({ "$content": hash(number) })
}

/// Runs statements.
pub async fn execute(conn: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await;
    done.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// A run that has ended.
pub async fn insert_run(conn: &mut PgConnection, run: Uuid) {
    let sql = format!(
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, finalized_by, started_at, ended_at, changed_at)
         VALUES ('{run}', 'a', 'b', 'completed', 'client', '2026-01-01Z', '2026-01-02Z', '2026-01-02Z')"
    );
    execute(conn, &sql).await;
}

/// A step of a run, with its input and output as they are stored.
pub async fn insert_step(
    conn: &mut PgConnection,
    run: Uuid,
    input: &Value,
    output: &Value,
) -> Uuid {
    let sql = "INSERT INTO agent_steps (run_id, step_type, name, status, created_at, input, output)
               VALUES ($1, 'llm_call', 'chat', 'completed', '2026-01-01 01:00Z', $2, $3) RETURNING id";
    let step = sqlx::query_scalar(sql).bind(run).bind(input).bind(output);
    step.fetch_one(conn).await.unwrap()
}

/// Contents of a run. A line is a row: hash, kind, prev, part, name (0 or -: none), and the body.
pub async fn insert_contents(conn: &mut PgConnection, run: Uuid, lines: &str) {
    insert_lines(conn, "agent_contents (run_id", run, lines).await;
}

/// A scope of these runs, with such contents.
pub async fn insert_shared(conn: &mut PgConnection, runs: &[Uuid], lines: &str) -> Uuid {
    let sql = "INSERT INTO agent_content_scopes (session_id, owner_id, month)
               VALUES (gen_random_uuid(), gen_random_uuid(), '2026-01-01') RETURNING id";
    let scope: Uuid = sqlx::query_scalar(sql).fetch_one(&mut *conn).await.unwrap();
    for run in runs {
        let link = format!("INSERT INTO agent_run_scopes VALUES ('{run}', '{scope}')");
        execute(conn, &link).await;
    }
    insert_lines(conn, "agent_shared_contents (scope_id", scope, lines).await;
    scope
}

async fn insert_lines(conn: &mut PgConnection, table: &str, holder: Uuid, lines: &str) {
    let of_row = |number: &str| match number {
        "0" => None,
        number => Some(hash(number.parse().unwrap())),
    };
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.splitn(6, ' ').collect();
        let body = cells
            .get(5)
            .map(|body| serde_json::from_str::<Value>(body).unwrap());
        let sql = format!(
            "INSERT INTO {table}, hash, kind, prev, part, name, body)
             VALUES ($1, $2, $3, $4, $5, nullif($6, '-'), $7)"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(holder)
            .bind(of_row(cells[0]))
            .bind(cells[1].parse::<i16>().unwrap())
            .bind(of_row(cells[2]))
            .bind(of_row(cells[3]))
            .bind(cells[4])
            .bind(body);
        row.execute(&mut *conn).await.unwrap();
    }
}

/// What `content_value` makes of a value.
pub async fn shown(conn: &mut PgConnection, run: Uuid, value: &Value) -> Value {
    let sql = "SELECT content_value($1, $2)";
    let shown = sqlx::query_scalar(sql).bind(run).bind(value);
    shown.fetch_one(conn).await.unwrap()
}

/// A conversation of `calls` steps, each of which repeats it from its start: the input of call n is
/// the first n messages. Returns what was said.
pub async fn insert_conversation(conn: &mut PgConnection, run: Uuid, calls: u128) -> Vec<Value> {
    let mut said = Vec::new();
    for call in 1..=calls {
        let text = format!("message {call} of the run {run}");
        let message = json!({ "role": "user", "content": text });
        let prev = if call == 1 { 0 } else { 2 * call - 1 };
        let lines = format!(
            "{} 0 0 0 - {message}\n{} 1 {prev} {} -",
            2 * call,
            2 * call + 1,
            2 * call
        );
        insert_contents(conn, run, &lines).await;
        insert_step(conn, run, &reference(2 * call + 1), &reference(2 * call)).await;
        said.push(message);
    }
    said
}
