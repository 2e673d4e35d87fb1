//! All statements of the daemon have a form that Citus takes, too: one text for both engines.
//!
//! Postgres itself analyses each statement, as the body of a function, so every function, operator and cast is known with its
//! volatility. The rules are those of Citus 13.2 for statements that change rows (`multi_router_planner.c`).

mod migrations;
mod node;
mod rules;
mod statements;
mod volatility;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use self::node::Node;
use self::rules::Finding;
use self::statements::{Statement, all_statements};
use self::volatility::Catalog;
use crate::support::pg;

/// Statements that break a rule, and why that is no fault. The list only shrinks.
const ACCEPTED: &[(&str, Finding, &str)] = &[];

/// What Postgres makes of a statement.
async fn analyse(conn: &mut PgConnection, text: &str) -> Result<Node, sqlx::Error> {
    let prepare = AssertSqlSafe(format!("PREPARE linted AS {text}"));
    sqlx::raw_sql(prepare).execute(&mut *conn).await?;
    let types: String = sqlx::query_scalar(
        "SELECT array_to_string(parameter_types, ', ') FROM pg_prepared_statements WHERE name = 'linted'",
    )
    .fetch_one(&mut *conn)
    .await?;
    let define = AssertSqlSafe(format!(
        "DEALLOCATE linted;
         CREATE FUNCTION pg_temp.linted({types}) RETURNS void LANGUAGE sql BEGIN ATOMIC {text}\n; END"
    ));
    sqlx::raw_sql(define).execute(&mut *conn).await?;
    let tree: String =
        sqlx::query_scalar("SELECT prosqlbody::text FROM pg_proc WHERE proname = 'linted'")
            .fetch_one(&mut *conn)
            .await?;
    sqlx::raw_sql("DROP FUNCTION pg_temp.linted")
        .execute(conn)
        .await?;
    Ok(Node::parse(&tree))
}

async fn lint(conn: &mut PgConnection, catalog: &Catalog, text: &str) -> Vec<Finding> {
    let tree = analyse(conn, text)
        .await
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    rules::findings(&tree, catalog)
}

/// Scenario: every statement in a file of SQL and in the code that writes.
/// Guarantees: none has what Citus refuses; accepted ones do break their rule.
#[tokio::test]
async fn citus_takes_every_statement() {
    // It has what both layouts have.
    let database = pg::database_by_month().await;
    let mut conn = database.connect().await;
    let catalog = Catalog::read(&mut conn).await;
    let statements = all_statements();
    let mut found = Vec::new();
    for Statement { place, text } in &statements {
        for finding in lint(&mut conn, &catalog, text).await {
            found.push((place.clone(), finding));
        }
    }
    let is_accepted = |(place, finding): &(String, Finding)| {
        let mut accepted = ACCEPTED.iter();
        accepted.any(|(at, what, _)| at == place && what == finding)
    };
    let refused: Vec<_> = found.iter().filter(|one| !is_accepted(one)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    for (place, finding, _) in ACCEPTED {
        let one = ((*place).to_owned(), *finding);
        assert!(found.contains(&one), "no longer needed: {one:?}");
    }
    assert!(statements.len() > 90, "{}", statements.len());
    conn.close().await.unwrap();
}

/// Guarantees: a sub-select of a policy is one call, which another engine can make in its place.
#[tokio::test]
async fn policies_select_nothing_but_one_call() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let others = "SELECT tablename || ': ' || policyname FROM pg_policies
        WHERE regexp_replace(
            concat(qual, with_check),
            '\\( ?SELECT [a-z_.]+\\(([a-z_.]+\\(\\)|[a-z_.]*)\\) AS [a-z_]+\\)', '', 'g') ~* 'select'";
    let others: Vec<String> = sqlx::query_scalar(others)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(others, [""; 0]);
    let calls = "SELECT count(*) FROM pg_policies WHERE concat(qual, with_check) ~* 'select'";
    let calls: i64 = sqlx::query_scalar(calls)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(calls > 20, "{calls}");
    conn.close().await.unwrap();
}

/// Guarantees: each rule finds what it forbids, and lets pass what has the right form.
#[tokio::test]
async fn each_rule_finds_what_it_forbids() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let catalog = Catalog::read(&mut conn).await;
    let bad = [
        ("UPDATE agent_runs SET changed_at = clock_timestamp()", Finding::VolatileInSet),
        ("DELETE FROM agent_runs WHERE changed_at < clock_timestamp()", Finding::VolatileInWhere),
        // An operator, a function and a cast.
        ("UPDATE agent_runs SET abandon_at = alive_at + interval '1 day'", Finding::StableOfColumn),
        ("UPDATE agent_runs SET metadata = jsonb_build_object('id', id)", Finding::StableOfColumn),
        ("UPDATE agent_runs SET name = started_at::text", Finding::StableOfColumn),
        ("UPDATE agent_runs SET name = $1 WHERE started_at::text = $2", Finding::StableOfColumn),
        ("DELETE FROM agent_runs WHERE extract(epoch FROM started_at) > $1", Finding::StableOfColumn),
        // Citus does not see this one, because of the COALESCE.
        (
            "UPDATE agent_runs SET abandon_at = now() + coalesce(timeout_ms, $1) * interval '1 ms'",
            Finding::StableOfColumn,
        ),
        ("UPDATE agent_runs SET abandon_at = CASE WHEN status = 'x' THEN now() END", Finding::StableInCase),
        ("UPDATE agent_runs SET abandon_at = coalesce(abandon_at, now())", Finding::StableInCase),
        (
            "WITH u AS (UPDATE agent_runs SET settle_at = coalesce($1::text::timestamptz, settle_at)
                        RETURNING id) SELECT id FROM u",
            Finding::StableInCase,
        ),
        ("UPDATE agent_runs SET name = $1 RETURNING started_at::text", Finding::MutableInReturning),
        (
            "INSERT INTO ingest_tombstones (id) VALUES ($1)
             ON CONFLICT (id, is_session) DO UPDATE SET at = now()",
            Finding::MutableInDoUpdate,
        ),
        (
            "INSERT INTO ingest_tombstones AS t (id, at) VALUES ($1, now())
             ON CONFLICT (id, is_session) DO UPDATE SET at = excluded.at
             WHERE t.at < excluded.at - interval '1 hour'",
            Finding::MutableInDoUpdate,
        ),
        (
            "INSERT INTO ingest_tombstones AS t (id, at) VALUES ($1, now())
             ON CONFLICT (id, is_session) DO UPDATE SET at = (SELECT max(v) FROM (VALUES (t.at)) AS x (v))",
            Finding::SelectInDoUpdate,
        ),
        ("SELECT CASE seq & 3 WHEN 0 THEN id END FROM agent_messages", Finding::SimpleCase),
        (
            "WITH n AS (SELECT gen_random_uuid() AS id) DELETE FROM agent_runs r USING n WHERE r.id = n.id",
            Finding::VolatileBeside,
        ),
        (
            "DELETE FROM agent_steps WHERE ctid IN (SELECT ctid FROM agent_steps LIMIT 1)",
            Finding::Ctid,
        ),
    ];
    for (text, finding) in bad {
        let found = lint(&mut conn, &catalog, text).await;
        assert!(found.contains(&finding), "{text}: {found:?}");
    }
    let good = [
        "UPDATE agent_runs SET changed_at = now(), metadata = jsonb_object('{id}', ARRAY[id::text])",
        "WITH n AS MATERIALIZED (SELECT id, now() + timeout_ms * interval '1 ms' AS at FROM agent_runs)
         UPDATE agent_runs r SET abandon_at = CASE WHEN r.status = 'x' THEN n.at END FROM n WHERE n.id = r.id",
        "DELETE FROM agent_runs WHERE extract(epoch FROM started_at AT TIME ZONE 'UTC') > $1",
        "INSERT INTO ingest_tombstones AS t (id, at) VALUES ($1, now())
         ON CONFLICT (id, is_session) DO UPDATE SET at = greatest(t.at, excluded.at)",
        "SELECT CASE WHEN seq & 3 = 0 THEN id END, CASE role WHEN 'a' THEN 1 END FROM agent_messages",
        "SELECT id FROM agent_runs WHERE started_at < clock_timestamp() FOR UPDATE",
    ];
    for text in good {
        assert_eq!(lint(&mut conn, &catalog, text).await, [], "{text}");
    }
    conn.close().await.unwrap();
}
