//! What a database says of itself.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

pub use runtraced::store::MIGRATIONS;

/// Runs statements as they are.
pub async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    let sql = sql.into();
    let result = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await;
    if let Err(error) = result {
        panic!("{error}\n{sql}");
    }
}

/// The first column of every row, as text.
pub async fn lines(connection: &mut PgConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}

/// A program that belongs to the server, or else the one on the PATH.
pub async fn bin(connection: &mut PgConnection, program: &str) -> PathBuf {
    let query = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
    let beside = Path::new(&lines(connection, query).await[0]).join(program);
    match beside.exists() {
        true => beside,
        false => program.into(),
    }
}

/// `pg_dump --schema-only`.
pub async fn dump(url: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let program = bin(&mut connection, "pg_dump").await;
    let output = std::process::Command::new(program)
        .args(["--schema-only", "--dbname", url])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        // Recent versions put a random word here.
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(|line| format!("{line}\n"))
        .collect()
}
