//! What a product adds to the daemon's tables: rules that only Postgres knows.

use runtraced::proto::Event;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{pg, valid};

/// The JSON columns in which a poisoned event may be.
const JSON_COLUMNS: [(&str, &[&str]); 6] = [
    ("agent_sessions", &["metadata"]),
    ("agent_runs", &["metadata", "end_metadata"]),
    ("agent_steps", &["input", "output", "metadata"]),
    ("agent_messages", &["tool_calls", "metadata"]),
    ("agent_scores", &["metadata"]),
    ("approvals", &["action_data"]),
];

/// JSON that no endpoint refuses.
pub fn poison() -> Option<String> {
    Some("{\"poison\":1}".into())
}

/// A step that Postgres refuses.
pub fn poisoned_step() -> Event {
    valid::step_ended(|step| step.output_json = poison())
}

/// Adds a CHECK constraint to each table: no JSON with `poison`.
pub async fn refuse_poison(conn: &mut PgConnection) {
    for (table, columns) in JSON_COLUMNS {
        let clean: Vec<String> = columns
            .iter()
            .map(|column| format!("coalesce({column}::text NOT LIKE '%poison%', true)"))
            .collect();
        let clean = clean.join(" AND ");
        for table in pg::tables_of(table) {
            let constrain = format!("ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK ({clean})");
            execute(conn, constrain).await;
        }
    }
}

/// Adds a row trigger before INSERT with this body in PL/pgSQL. Another one of the same table is
/// replaced.
pub async fn before_insert(conn: &mut PgConnection, table: &str, body: &str) {
    before(conn, "INSERT", table, body).await;
}

/// The same before UPDATE.
pub async fn before_update(conn: &mut PgConnection, table: &str, body: &str) {
    before(conn, "UPDATE", table, body).await;
}

async fn before(conn: &mut PgConnection, what: &str, table: &str, body: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION product_{table}() RETURNS trigger LANGUAGE plpgsql AS $f$
         BEGIN {body} END $f$"
    );
    execute(conn, function).await;
    for on in pg::tables_of(table) {
        let trigger = format!(
            "CREATE OR REPLACE TRIGGER product BEFORE {what} ON {on}
             FOR EACH ROW EXECUTE FUNCTION product_{table}()"
        );
        execute(conn, trigger).await;
    }
}

/// Runs statements for each table that has the rows of a name in `public`; `TABLE_OF_ROWS` stands for it.
pub async fn on_tables_of(conn: &mut PgConnection, name: &str, statements: &str) {
    for table in pg::tables_of(name) {
        execute(conn, statements.replace("TABLE_OF_ROWS", &table)).await;
    }
}

/// Runs statements.
pub async fn execute(conn: &mut PgConnection, statements: String) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(conn)
        .await
        .unwrap();
}
