//! A database that is somebody else's already: Supabase, or a product with
//! the seed's tables.

use sqlx::{Connection as _, PgConnection};

use super::catalog::{MIGRATIONS, lines, run};
use crate::support::{pg, supabase};

const AUTH: &str = "
    SELECT pg_get_functiondef(oid) || proowner::regrole || coalesce(obj_description(oid, 'pg_proc'), '')
      || coalesce(proacl::text, '')
    FROM pg_proc WHERE pronamespace = 'auth'::regnamespace
    UNION ALL
    SELECT nspname || nspowner::regrole || nspacl::text FROM pg_namespace WHERE nspname = 'auth'
    ORDER BY 1";

#[tokio::test]
async fn nothing_of_supabases_auth_is_replaced_and_its_users_are_served() {
    // Roles are of the whole cluster: one of its own.
    let cluster = pg::own_cluster().await;
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    MIGRATIONS.undo(&mut connection, 0).await.unwrap();
    run(&mut connection, supabase::AUTH).await;
    let before = lines(&mut connection, AUTH).await;
    assert_eq!(before.len(), 3);
    MIGRATIONS.run(&mut connection).await.unwrap();
    assert_eq!(lines(&mut connection, AUTH).await, before);

    run(
        &mut connection,
        "INSERT INTO users (id) VALUES ('00000000-0000-0000-0000-0000000000a1');
         INSERT INTO agent_sessions (user_id, title)
           VALUES ('00000000-0000-0000-0000-0000000000a1', 'mine'), (NULL, 'nobody''s')",
    )
    .await;
    let mut transaction = connection.begin().await.unwrap();
    run(
        &mut transaction,
        r#"SELECT set_config('request.jwt.claims', '{"sub":"00000000-0000-0000-0000-0000000000a1"}', true);
           SET LOCAL ROLE authenticated"#,
    )
    .await;
    assert_eq!(
        lines(&mut transaction, "SELECT title FROM agent_sessions").await,
        ["mine"]
    );
    transaction.rollback().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    run(&mut transaction, "SET LOCAL ROLE authenticated").await;
    let refused = sqlx::query("SELECT FROM ingest_keys")
        .execute(&mut *transaction)
        .await;
    assert!(refused.is_err(), "keys are not for users");
    transaction.rollback().await.unwrap();

    MIGRATIONS.undo(&mut connection, 0).await.unwrap();
    assert_eq!(lines(&mut connection, AUTH).await, before);
}

#[tokio::test]
async fn half_of_auth_is_completed_and_only_that_half_removed() {
    let database = pg::empty_database().await;
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "CREATE SCHEMA auth;
         CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid'",
    )
    .await;
    let before = lines(
        &mut connection,
        "SELECT pg_get_functiondef('auth.uid()'::regprocedure)",
    )
    .await;
    MIGRATIONS.run(&mut connection).await.unwrap();
    let jwt = "SELECT (to_regprocedure('auth.jwt()') IS NOT NULL)::text";
    assert_eq!(lines(&mut connection, jwt).await, ["true"]);
    MIGRATIONS.undo(&mut connection, 0).await.unwrap();
    assert_eq!(lines(&mut connection, jwt).await, ["false"]);
    let after = lines(
        &mut connection,
        "SELECT pg_get_functiondef('auth.uid()'::regprocedure)",
    )
    .await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_products_own_tables_keep_their_rows_and_gain_the_columns() {
    let database = pg::empty_database().await;
    let mut connection = database.connect().await;
    // As the seed has them, with its policies and its soft delete.
    run(
        &mut connection,
        "CREATE SCHEMA auth;
         CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid';
         CREATE TABLE users (id UUID PRIMARY KEY, email TEXT);
         CREATE FUNCTION is_admin(uuid) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false';
         CREATE TABLE customers (
           id UUID PRIMARY KEY, name TEXT NOT NULL, arr NUMERIC NOT NULL,
           tier TEXT CHECK (tier IN ('enterprise', 'mid-market', 'smb')), health_score INTEGER DEFAULT 50,
           renewal_date DATE, csm_id UUID REFERENCES users(id), status TEXT DEFAULT 'active',
           created_at TIMESTAMPTZ DEFAULT NOW(), updated_at TIMESTAMPTZ DEFAULT NOW(), deleted_at TIMESTAMPTZ);
         ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
         CREATE POLICY \"CSMs see assigned customers\" ON customers FOR SELECT
           USING (csm_id = auth.uid() OR is_admin(auth.uid()));
         CREATE TABLE agent_sessions (
           id UUID PRIMARY KEY, customer_id UUID REFERENCES customers(id), user_id UUID REFERENCES users(id),
           title TEXT, created_at TIMESTAMPTZ DEFAULT NOW(), updated_at TIMESTAMPTZ DEFAULT NOW());
         CREATE TABLE agent_runs (
           id UUID PRIMARY KEY, session_id UUID REFERENCES agent_sessions(id), agent_id TEXT NOT NULL,
           agent_type TEXT NOT NULL, customer_id UUID REFERENCES customers(id),
           status TEXT CHECK (status IN ('running', 'completed', 'failed')), input TEXT, output TEXT,
           total_tokens_input INTEGER, total_tokens_output INTEGER, started_at TIMESTAMPTZ DEFAULT NOW(),
           ended_at TIMESTAMPTZ, metadata JSONB);
         CREATE TABLE agent_steps (
           id UUID PRIMARY KEY, run_id UUID REFERENCES agent_runs(id),
           step_type TEXT CHECK (step_type IN ('thinking', 'tool_call', 'tool_result', 'llm_call', 'handoff')),
           name TEXT, input JSONB, output JSONB, duration_ms INTEGER, created_at TIMESTAMPTZ DEFAULT NOW());
         INSERT INTO customers (id, name, arr) VALUES (gen_random_uuid(), 'Acme', 1);
         INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at)
           VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'b', 'completed', '2026-01-01', '2026-01-01 00:00:02');
         INSERT INTO agent_steps (id, run_id, step_type, duration_ms, created_at)
           VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'thinking', 500, '2026-01-01')",
    )
    .await;
    MIGRATIONS.run(&mut connection).await.unwrap();
    assert_eq!(
        lines(
            &mut connection,
            "SELECT concat_ws(' ', r.duration_ms, t.duration_ms, t.offset_ms, t.ended_at - t.at)
             FROM agent_runs AS r JOIN run_timeline AS t ON t.run_id = r.id",
        )
        .await,
        ["2000 500 0 00:00:00.5"]
    );
    run(
        &mut connection,
        "INSERT INTO agent_steps (id, step_type) VALUES (gen_random_uuid(), 'other')",
    )
    .await;

    MIGRATIONS.undo(&mut connection, 0).await.unwrap();
    let left = lines(
        &mut connection,
        "SELECT relname || ' ' || relrowsecurity FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '_sqlx_migrations'
         ORDER BY 1",
    )
    .await;
    // On what was not ours row level security stays on: the safe side.
    let expected = [
        "agent_runs true",
        "agent_sessions true",
        "agent_steps true",
        "customers true",
        "users true",
    ];
    assert_eq!(left, expected);
    assert_eq!(
        lines(&mut connection, "SELECT name FROM customers").await,
        ["Acme"]
    );
    assert_eq!(
        lines(
            &mut connection,
            "SELECT (to_regprocedure('is_admin(uuid)') IS NOT NULL)::text"
        )
        .await,
        ["true"]
    );
}
