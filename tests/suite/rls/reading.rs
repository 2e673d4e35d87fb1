//! Who sees what, through every table and every view.

use std::collections::BTreeSet;

use super::people::{ADMIN, ANN, BEN, NOBODY, People, STRANGER};

/// Rows that a manager, an admin and a stranger see.
pub const VISIBLE: &[(&str, u64, u64, u64)] = &[
    ("users", 1, 4, 1),
    ("customers", 1, 2, 0),
    ("stakeholders", 1, 2, 0),
    ("contracts", 1, 2, 0),
    ("entitlements", 1, 2, 0),
    ("health_scores", 1, 2, 0),
    ("usage_metrics", 1, 2, 0),
    ("risk_signals", 1, 2, 0),
    ("renewal_pipeline", 1, 2, 0),
    ("qbrs", 1, 2, 0),
    ("agent_sessions", 1, 2, 0),
    ("agent_runs", 2, 6, 0),
    ("agent_steps", 2, 6, 0),
    ("agent_contents", 2, 6, 0),
    // Only through content_value(), for whoever sees the run.
    ("agent_content_scopes", 0, 0, 0),
    ("agent_run_scopes", 2, 6, 0),
    ("agent_shared_contents", 0, 0, 0),
    ("agent_stale_scopes", 0, 0, 0),
    ("agent_step_aliases", 2, 6, 0),
    ("agent_token_counts", 2, 6, 0),
    ("agent_scores", 2, 6, 0),
    ("agent_messages", 2, 6, 0),
    ("approvals", 2, 6, 0),
    ("ingest_dead_letters", 0, 1, 0),
    ("ingest_ledger", 0, 1, 0),
    ("ingest_keys", 0, 0, 0),
    ("runtraced_admins", 0, 0, 0),
    ("_sqlx_migrations", 0, 0, 0),
    ("customer_health", 1, 2, 0),
    ("customers_at_risk", 1, 2, 0),
    ("upcoming_renewals", 1, 2, 0),
    // Prices are no secret; there are none here.
    ("model_prices", 0, 0, 0),
    ("price_bands", 0, 0, 0),
    ("agent_token_costs", 2, 6, 0),
    ("run_costs", 2, 6, 0),
    ("session_costs", 1, 2, 0),
    ("agent_costs", 1, 1, 0),
    ("daily_costs", 1, 1, 0),
    ("unpriced_models", 1, 1, 0),
    ("run_summary", 2, 6, 0),
    // Those who see everything may use sums of everything. There are none here yet.
    ("run_sums", 0, 0, 0),
    ("run_sums_days", 0, 0, 0),
    ("run_sums_changes", 0, 1, 0),
    ("run_sums_open", 0, 0, 0),
    ("retention_rules", 0, 0, 0),
    ("ingest_tombstones", 0, 0, 0),
    // Per run a step, a token count and a score; for the two runs without a session a
    // message and an approval more.
    ("run_timeline", 8, 26, 0),
    ("ingest_reconciliation", 0, 1, 0),
];

/// Notes are made for each statement and table, so there may be several that are equal.
pub fn counted(relation: &str) -> &str {
    match relation {
        "run_sums_changes" => "(SELECT DISTINCT at FROM run_sums_changes) AS n",
        other => other,
    }
}

#[tokio::test]
async fn everybody_sees_his_own_through_every_table_and_view() {
    let mut people = People::new().await;
    for &(relation, own, all, strange) in VISIBLE {
        for (claims, expected) in [(ANN, own), (BEN, own), (ADMIN, all), (STRANGER, strange)] {
            let seen = people.sees(claims, counted(relation)).await;
            assert_eq!(seen, expected, "{relation} for {claims}");
        }
    }
    let there: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
           AND relkind IN ('r', 'p', 'v') AND relname NOT IN ('agent_months', 'agent_slots')",
    )
    .fetch_all(&mut people.owner)
    .await
    .unwrap();
    let tried: BTreeSet<_> = VISIBLE.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(tried, there.into_iter().collect());
}

#[tokio::test]
async fn nobody_sees_nothing_whatever_the_claims() {
    let mut people = People::new().await;
    for (relation, ..) in VISIBLE {
        for claims in NOBODY {
            let seen = people.sees(claims, relation).await;
            assert_eq!(seen, 0, "{relation} for {claims}");
        }
    }
}

#[tokio::test]
async fn what_a_manager_sees_is_his() {
    let mut people = People::new().await;
    for condition in [
        "customers WHERE name <> 'customer of a'",
        "agent_sessions WHERE user_id <> auth.uid()",
        "agent_runs WHERE right(id::text, 1) <> 'a'",
        "agent_steps WHERE right(run_id::text, 1) <> 'a'",
        "run_timeline WHERE right(run_id::text, 1) <> 'a'",
        "run_summary WHERE right(run_id::text, 1) <> 'a'",
        "users WHERE id <> auth.uid()",
    ] {
        assert_eq!(people.sees(ANN, condition).await, 0, "{condition}");
    }
}

/// A function whose cost is nothing is tried on every row before the policy,
/// unless the view and policy are barriers.
#[tokio::test]
async fn a_cheap_function_sees_no_row_that_the_policy_hides() {
    let mut people = People::new().await;
    let sql = "CREATE FUNCTION peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
               $$ BEGIN RAISE EXCEPTION 'peeked at %', $1; END $$";
    sqlx::raw_sql(sql).execute(&mut people.owner).await.unwrap();
    for relation in [
        "customers WHERE peek(name)",
        "agent_steps WHERE peek(name)",
        "agent_messages WHERE peek(content)",
        "run_summary WHERE peek(agent_id)",
        "run_timeline WHERE peek(item)",
    ] {
        assert_eq!(people.sees(STRANGER, relation).await, 0, "{relation}");
    }
}

#[tokio::test]
async fn the_waterfall_of_anothers_run_is_not_drawn() {
    let mut people = People::new().await;
    let sql = |run: &str| format!("run_waterfall('{run}') AS line WHERE line NOT LIKE 'no run %'");
    let of_ann = sql("10000000-0000-0000-0000-00000000000a");
    assert!(people.sees(ANN, &of_ann).await > 3);
    assert!(people.sees(ADMIN, &of_ann).await > 3);
    for claims in [BEN, STRANGER, ""] {
        assert_eq!(people.sees(claims, &of_ann).await, 0, "{claims}");
    }
}

#[tokio::test]
async fn ownership_functions_tell_only_about_the_one_who_asks() {
    let mut people = People::new().await;
    let leaks = [
        "(SELECT 1 WHERE is_admin('00000000-0000-0000-0000-0000000000ad')) AS x",
        "(SELECT 1 WHERE owns_customer('c0000000-0000-0000-0000-00000000000b')) AS x",
        "(SELECT 1 WHERE owns_contract('cc000000-0000-0000-0000-00000000000b')) AS x",
        "(SELECT 1 WHERE owns_session('50000000-0000-0000-0000-00000000000b')) AS x",
        "(SELECT 1 WHERE owns_run('10000000-0000-0000-0000-00000000000b')) AS x",
        "run_step_tree('10000000-0000-0000-0000-00000000000b')",
    ];
    for leak in leaks {
        for claims in [ANN, STRANGER, r#"{"role":"anon"}"#] {
            assert_eq!(people.sees(claims, leak).await, 0, "{leak} for {claims}");
        }
    }
    let own = "(SELECT 1 WHERE is_admin('00000000-0000-0000-0000-0000000000ad')) AS x";
    assert_eq!(people.sees(ADMIN, own).await, 1);
}

#[tokio::test]
async fn a_deleted_customer_leaves_the_views_and_not_the_table() {
    let mut people = People::new().await;
    let sql = "UPDATE customers SET deleted_at = now() WHERE name = 'customer of a'";
    sqlx::raw_sql(sql).execute(&mut people.owner).await.unwrap();
    assert_eq!(people.sees(ANN, "customers").await, 1);
    for view in ["customer_health", "customers_at_risk", "upcoming_renewals"] {
        assert_eq!(people.sees(ANN, view).await, 0, "{view}");
        assert_eq!(people.sees(ADMIN, view).await, 1, "{view}");
    }
}
