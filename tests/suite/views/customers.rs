//! The seed's three queries.

use super::runs::{self, lines, run};

#[tokio::test]
async fn the_views_answer_the_seeds_questions() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO customers (id, name, arr, health_score, deleted_at) VALUES
           (id(1), 'healthy', 1, 90, NULL), (id(2), 'weak', 1, 40, NULL), (id(3), 'signalled', 1, 80, NULL),
           (id(4), 'gone', 1, 10, now()), (id(5), 'weaker', 1, 30, NULL);
         INSERT INTO health_scores (customer_id, overall, voice, calculated_at)
           VALUES (id(1), 70, 1, at(0)), (id(1), 75, 2, at(9)), (id(1), 72, 3, at(5));
         INSERT INTO risk_signals (customer_id, severity, resolved_at) VALUES
           (id(1), 'low', NULL), (id(1), 'critical', now()), (id(2), 'low', NULL), (id(2), 'high', NULL), (id(2), 'high', now()),
           (id(3), 'critical', NULL), (id(3), 'low', NULL), (id(4), 'high', NULL);
         INSERT INTO renewal_pipeline (id, customer_id, renewal_date) VALUES
           (id(11), id(1), current_date + 60), (id(12), id(2), current_date + 2), (id(13), id(3), current_date + 92),
           (id(14), id(1), current_date - 2), (id(15), id(4), current_date + 2)",
    )
    .await;
    let health = lines(
        &mut connection,
        "SELECT concat_ws(' ', name, current_health_score, health_score, voice, health_calculated_at = at(9)) FROM customer_health ORDER BY id",
    )
    .await;
    assert_eq!(
        health,
        ["healthy 90 75 2 t", "weak 40", "signalled 80", "weaker 30"]
    );
    let risk = lines(
        &mut connection,
        "SELECT concat_ws(' ', name, active_signals) FROM customers_at_risk",
    )
    .await;
    assert_eq!(risk, ["weaker 0", "weak 2", "signalled 1"]);
    let renewals = lines(
        &mut connection,
        "SELECT concat_ws(' ', name, right(renewal_id::text, 2), renewal_date - current_date) FROM upcoming_renewals",
    )
    .await;
    assert_eq!(renewals, ["weak 12 2", "healthy 11 60"]);
}
