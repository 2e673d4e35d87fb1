//! Who may write what.

use super::people::{ADMIN, ANN, BEN, People, STRANGER};

const CUSTOMER_TABLES: &[&str] = &[
    "stakeholders (customer_id, name, email) VALUES ($c, 'n', 'e')",
    "contracts (customer_id) VALUES ($c)",
    "entitlements (customer_id, product) VALUES ($c, 'p')",
    "health_scores (customer_id, overall) VALUES ($c, 1)",
    "usage_metrics (customer_id, date) VALUES ($c, '2026-02-02')",
    "risk_signals (customer_id) VALUES ($c)",
    "renewal_pipeline (customer_id, renewal_date) VALUES ($c, '2026-02-02')",
    "qbrs (customer_id) VALUES ($c)",
];

/// Refused by a policy, or because a view like that cannot be written at all.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42501" | "55000"))
}

#[tokio::test]
async fn a_manager_writes_his_customers_data_and_nobody_elses() {
    let mut people = People::new().await;
    let of = |who: &str| format!("'c0000000-0000-0000-0000-00000000000{who}'");
    for insert in CUSTOMER_TABLES {
        let own = format!("INSERT INTO {}", insert.replace("$c", &of("a")));
        assert_eq!(people.as_person(ANN, &own).await.unwrap(), 1, "{own}");
        for claims in [BEN, STRANGER, ADMIN, ""] {
            let error = people.as_person(claims, &own).await.unwrap_err();
            assert!(is_refusal(&error), "{own} as {claims}: {error}");
        }
        let table = insert.split(' ').next().unwrap();
        let gift = format!("UPDATE {table} SET customer_id = {}", of("b"));
        let error = people.as_person(ANN, &gift).await.unwrap_err();
        assert!(is_refusal(&error), "{gift}: {error}");
        let all = format!("DELETE FROM {table}");
        let nothing_hangs_off = table != "contracts";
        if nothing_hangs_off {
            assert_eq!(people.as_person(ANN, &all).await.unwrap(), 1, "{all}");
        }
        assert_eq!(people.as_person(STRANGER, &all).await.unwrap(), 0, "{all}");
    }
}

/// Each is refused outright, or finds no row to change.
#[tokio::test]
async fn what_is_not_ones_own_is_not_written() {
    let mut people = People::new().await;
    for sql in [
        // Power over others.
        "UPDATE users SET is_admin = true",
        "INSERT INTO users (is_admin) VALUES (true)",
        "INSERT INTO users (id) VALUES ('00000000-0000-0000-0000-00000000000a')
           ON CONFLICT (id) DO UPDATE SET is_admin = true",
        "DELETE FROM users",
        "INSERT INTO runtraced_admins (user_id) VALUES (auth.uid())",
        "UPDATE runtraced_admins SET user_id = auth.uid()",
        "DELETE FROM runtraced_admins",
        "DELETE FROM _sqlx_migrations",
        "UPDATE customers SET csm_id = auth.uid()",
        "INSERT INTO customers (name, arr, csm_id) VALUES ('x', 1, auth.uid())",
        "DELETE FROM customers",
        // Sessions.
        "INSERT INTO agent_sessions (user_id) VALUES ('00000000-0000-0000-0000-00000000000b')",
        "INSERT INTO agent_sessions (user_id) VALUES (NULL)",
        "UPDATE agent_sessions SET user_id = '00000000-0000-0000-0000-00000000000b'",
        "INSERT INTO agent_sessions (id, user_id) VALUES ('50000000-0000-0000-0000-00000000000b', auth.uid())
           ON CONFLICT (id) DO UPDATE SET user_id = auth.uid()",
        // Traces.
        "INSERT INTO agent_runs (session_id, agent_id, agent_type)
           VALUES ('50000000-0000-0000-0000-00000000000a', 'a', 'b')",
        "UPDATE agent_runs SET status = 'completed'",
        "DELETE FROM agent_steps",
        "INSERT INTO agent_steps (run_id) VALUES ('10000000-0000-0000-0000-00000000000a')",
        "INSERT INTO agent_contents (run_id, hash, kind, body) VALUES ('10000000-0000-0000-0000-00000000000a', auth.uid(), 0, '1')",
        "UPDATE agent_contents SET body = '2'",
        "DELETE FROM agent_contents",
        "INSERT INTO agent_run_scopes SELECT '10000000-0000-0000-0000-00000000000a', id FROM agent_content_scopes",
        "UPDATE agent_run_scopes SET scope_id = gen_random_uuid()",
        "DELETE FROM agent_run_scopes",
        "INSERT INTO agent_step_aliases (id, run_id) VALUES (auth.uid(), '10000000-0000-0000-0000-00000000000a')",
        "UPDATE agent_step_aliases SET step_id = NULL",
        "INSERT INTO agent_token_counts (run_id) VALUES ('10000000-0000-0000-0000-00000000000a')",
        "UPDATE agent_token_counts SET input = 0",
        "INSERT INTO agent_scores (run_id, name) VALUES ('10000000-0000-0000-0000-00000000000a', 'n')",
        "UPDATE agent_scores SET value = 1",
        "DELETE FROM agent_scores",
        // Messages into another's session or run.
        "INSERT INTO agent_messages (session_id) VALUES ('50000000-0000-0000-0000-00000000000b')",
        "INSERT INTO agent_messages (session_id) VALUES (NULL)",
        "INSERT INTO agent_messages (run_id) VALUES ('20000000-0000-0000-0000-00000000000a')",
        "INSERT INTO agent_messages (session_id, run_id)
           VALUES ('50000000-0000-0000-0000-00000000000a', '10000000-0000-0000-0000-00000000000b')",
        "UPDATE agent_messages SET run_id = '10000000-0000-0000-0000-00000000000b'",
        "UPDATE agent_messages SET session_id = '50000000-0000-0000-0000-00000000000b'",
        // Approvals likewise, and decisions on others'.
        "INSERT INTO approvals (session_id, action_type) VALUES ('50000000-0000-0000-0000-00000000000b', 'x')",
        "INSERT INTO approvals (session_id, action_type) VALUES (NULL, 'x')",
        "INSERT INTO approvals (session_id, run_id, action_type)
           VALUES ('50000000-0000-0000-0000-00000000000a', '20000000-0000-0000-0000-00000000000b', 'x')",
        "UPDATE approvals SET status = 'approved' WHERE session_id IS DISTINCT FROM '50000000-0000-0000-0000-00000000000a'",
        "UPDATE approvals SET session_id = '50000000-0000-0000-0000-00000000000b'",
        // Another's contract.
        "INSERT INTO entitlements (customer_id, contract_id, product)
           VALUES ('c0000000-0000-0000-0000-00000000000a', 'cc000000-0000-0000-0000-00000000000b', 'p')",
        // The daemon's own.
        "INSERT INTO ingest_keys (name, key_sha256) VALUES ('mine', sha256('mine'))",
        "UPDATE ingest_keys SET revoked_at = NULL",
        "DELETE FROM ingest_dead_letters",
        "UPDATE ingest_ledger SET received = 0",
        // Through views.
        "UPDATE run_timeline SET status = 'x'",
        "DELETE FROM customer_health",
    ] {
        for claims in [ANN, STRANGER, ""] {
            match people.as_person(claims, sql).await {
                Ok(changed) => assert_eq!(changed, 0, "{sql} as {claims}"),
                Err(error) => assert!(is_refusal(&error), "{sql} as {claims}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_user_writes_his_own_sessions_messages_and_approvals() {
    let mut people = People::new().await;
    for sql in [
        "INSERT INTO agent_sessions (user_id) VALUES (auth.uid())",
        "UPDATE agent_sessions SET title = 'mine'",
        "INSERT INTO agent_messages (session_id, run_id)
           VALUES ('50000000-0000-0000-0000-00000000000a', '10000000-0000-0000-0000-00000000000a')",
        "DELETE FROM agent_messages",
        "UPDATE approvals SET status = 'approved', decided_by = auth.uid(), decided_at = now()",
        "INSERT INTO approvals (session_id, run_id, action_type)
           VALUES ('50000000-0000-0000-0000-00000000000a', '20000000-0000-0000-0000-00000000000a', 'x')",
    ] {
        assert_eq!(people.as_person(ANN, sql).await.unwrap(), 1, "{sql}");
    }
}

#[tokio::test]
async fn an_admin_sees_everything_and_changes_nothing_by_that() {
    let mut people = People::new().await;
    for sql in [
        "UPDATE users SET is_admin = true",
        "UPDATE customers SET arr = 0",
        "DELETE FROM agent_sessions",
        "UPDATE approvals SET status = 'approved'",
        "DELETE FROM ingest_dead_letters",
    ] {
        let done = people.as_person(ADMIN, sql).await;
        assert!(matches!(done, Ok(0)), "{sql}: {done:?}");
    }
}

#[tokio::test]
async fn the_owner_writes_and_copies_whatever_the_claims() {
    let mut people = People::new().await;
    let sql = "SELECT set_config('request.jwt.claims', $1, false)";
    let query = sqlx::query(sql).bind(STRANGER);
    query.execute(&mut people.owner).await.unwrap();
    let sql = "UPDATE agent_runs SET status = 'completed'";
    let done = sqlx::raw_sql(sql).execute(&mut people.owner).await.unwrap();
    assert_eq!(done.rows_affected(), 6);
    for table in ["agent_steps", "agent_token_counts", "agent_messages"] {
        let copy = format!("COPY {table} (run_id) FROM STDIN");
        let mut copy = people.owner.copy_in_raw(&copy).await.unwrap();
        let row = &b"10000000-0000-0000-0000-00000000000a\n"[..];
        copy.send(row).await.unwrap();
        assert_eq!(copy.finish().await.unwrap(), 1, "{table}");
    }
}
