//! Who sees what if the customer tables are in a schema of their own, or left out.

use super::people::{ADMIN, ANN, BEN, NOBODY, People, STRANGER};
use super::reading::{VISIBLE, counted};

const SCHEMA: &str = "customer data";
/// A reader of one customer, as the daemon sets it for a key.
const READER: &str = r#"{"runtraced_customer":"c0000000-0000-0000-0000-00000000000a"}"#;

/// Rows that a user, an admin, a stranger and a reader of a customer see without customer tables.
const WITHOUT_CUSTOMERS: &[(&str, u64, u64, u64, u64)] = &[
    ("users", 1, 4, 1, 0),
    ("agent_sessions", 1, 2, 0, 0),
    ("agent_runs", 1, 6, 0, 2),
    ("agent_steps", 1, 6, 0, 2),
    ("agent_contents", 1, 6, 0, 2),
    ("agent_content_scopes", 0, 0, 0, 0),
    ("agent_run_scopes", 1, 6, 0, 2),
    ("agent_shared_contents", 0, 0, 0, 0),
    ("agent_stale_scopes", 0, 0, 0, 0),
    ("agent_step_aliases", 1, 6, 0, 2),
    ("agent_token_counts", 1, 6, 0, 2),
    ("agent_scores", 1, 6, 0, 2),
    ("agent_messages", 1, 6, 0, 1),
    ("approvals", 1, 6, 0, 1),
    ("ingest_dead_letters", 0, 1, 0, 0),
    ("ingest_keys", 0, 0, 0, 0),
    ("runtraced_admins", 0, 0, 0, 0),
    ("run_summary", 1, 6, 0, 2),
    ("run_costs", 1, 6, 0, 2),
    ("run_timeline", 3, 26, 0, 8),
];

/// Scenario: customers, sessions and runs are there, and the customer tables move to a schema that
/// nobody has rights on.
/// Guarantees: everybody sees and writes the same as before, also a user who names a customer.
#[tokio::test]
async fn in_a_schema_of_their_own_everybody_sees_the_same() {
    let mut people = People::new().await;
    people.migrate(&["--schema", SCHEMA]);
    let path = format!("SET search_path = public, \"{SCHEMA}\"");
    sqlx::raw_sql(sqlx::AssertSqlSafe(path))
        .execute(&mut people.owner)
        .await
        .unwrap();
    for &(relation, own, all, strange) in VISIBLE {
        for (claims, expected) in [(ANN, own), (BEN, own), (ADMIN, all), (STRANGER, strange)] {
            let seen = people.sees(claims, counted(relation)).await;
            assert_eq!(seen, expected, "{relation} for {claims}");
        }
        assert_eq!(people.sees(NOBODY[0], relation).await, 0, "{relation}");
    }
    for (customer, allowed) in [("a", true), ("b", false)] {
        let insert = format!(
            "INSERT INTO agent_sessions (user_id, customer_id)
             VALUES ('00000000-0000-0000-0000-00000000000a', 'c0000000-0000-0000-0000-00000000000{customer}')"
        );
        assert_eq!(
            people.as_person(ANN, &insert).await.is_ok(),
            allowed,
            "{customer}"
        );
        let insert = format!(
            "INSERT INTO entitlements (customer_id, contract_id, product)
             VALUES ('c0000000-0000-0000-0000-00000000000a', 'cc000000-0000-0000-0000-00000000000{customer}', 'p')"
        );
        assert_eq!(
            people.as_person(ANN, &insert).await.is_ok(),
            allowed,
            "{customer}"
        );
    }
}

/// Scenario: the same sessions and runs without customer tables.
/// Guarantees: a user sees own sessions and what is in them, an admin everything, a reader of a customer its
/// runs, everybody else nothing; nobody owns a customer, and no user gives a session one.
#[tokio::test]
async fn without_customer_tables_policies_hold_for_the_rest() {
    let mut people = People::without_customers().await;
    for &(relation, own, all, strange, reader) in WITHOUT_CUSTOMERS {
        for (claims, expected) in [
            (ANN, own),
            (BEN, own),
            (ADMIN, all),
            (STRANGER, strange),
            (READER, reader),
            (NOBODY[0], 0),
        ] {
            let seen = people.sees(claims, counted(relation)).await;
            assert_eq!(seen, expected, "{relation} for {claims}");
        }
    }
    for (customer, allowed) in [
        ("NULL", true),
        ("'c0000000-0000-0000-0000-00000000000a'", false),
    ] {
        let insert = format!(
            "INSERT INTO agent_sessions (user_id, customer_id)
             VALUES ('00000000-0000-0000-0000-00000000000a', {customer})"
        );
        assert_eq!(
            people.as_person(ANN, &insert).await.is_ok(),
            allowed,
            "{customer}"
        );
    }
}
