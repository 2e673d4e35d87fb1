//! The SQL for a role that reads everything, by an owner who is no superuser.

use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use super::markdown;
use crate::support::pg;

/// Scenario: a database whose owner is no superuser is migrated; the owner runs the blocks of the
/// page; the new role logs in.
/// Guarantees: every statement works; the role sees all runs through tables and views, and changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_superuser_makes_the_reader() {
    let cluster = pg::own_cluster().await;
    let mut superuser = PgConnection::connect(cluster.url()).await.unwrap();
    for statement in [
        "CREATE ROLE plain_owner LOGIN CREATEROLE",
        "CREATE DATABASE plain OWNER plain_owner",
    ] {
        raw_sql(statement).execute(&mut superuser).await.unwrap();
    }
    let as_role = |role: &str| {
        let url = cluster.url().replace("/runtraced?", "/plain?");
        url.replace("//runtraced@", &format!("//{role}@"))
    };
    let url = as_role("plain_owner");
    let out = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .arg("migrate")
        .env("DATABASE_URL", &url)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let run = "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at)
               VALUES (gen_random_uuid(), 'a', 'b', 'running', now())";
    raw_sql(run).execute(&mut owner).await.unwrap();
    let page = markdown::page("docs/SCHEMA.md");
    let mut blocks = 0;
    for block in page.blocks("sql") {
        if block.contains("CREATE ROLE trace_reader") || block.contains("CREATE ROLE trace_analyst")
        {
            blocks += 1;
            let sql = AssertSqlSafe(block.clone());
            let done = raw_sql(sql).execute(&mut owner).await;
            done.unwrap_or_else(|error| panic!("{error}\n{block}"));
        }
    }
    assert_eq!(blocks, 2);
    let mut analyst = PgConnection::connect(&as_role("trace_analyst"))
        .await
        .unwrap();
    for relation in ["agent_runs", "run_summary"] {
        let query = format!("SELECT count(*) FROM {relation}");
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut analyst)
            .await
            .unwrap();
        assert_eq!(seen, 1, "{relation}");
    }
    for statement in [
        "DELETE FROM agent_runs",
        "SET default_transaction_read_only = off; UPDATE agent_runs SET name = 'x'",
    ] {
        let refused = raw_sql(statement).execute(&mut analyst).await.unwrap_err();
        let code = refused
            .as_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned();
        assert!(
            ["25006", "42501"].contains(&code.as_str()),
            "{statement}: {refused}"
        );
    }
}
