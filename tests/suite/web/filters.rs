//! Filters that need customers, users and prices.

use runtraced::proto::event::Event as Body;
use uuid::Uuid;

use super::client::{get, get_as};
use super::finished;
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, started_with};
use crate::support::pg;

/// Scenario: three runs that differ in customer, user, session, parent, model, tag and cost; one has a
/// call without a price.
/// Guarantees: each filter shows exactly the runs that fit; an unknown cost is within no limit, and is
/// never 0.
#[tokio::test]
async fn customer_user_tag_and_cost_show_what_fits() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [customer, user, session, cheap, dear, unknown] = [(); 6].map(|()| new_id());
    for insert in [
        format!("INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'Acme', 1)"),
        format!("INSERT INTO users (id) VALUES ('{user}')"),
        format!("INSERT INTO agent_sessions (id, user_id) VALUES ('{session}', '{user}')"),
        "INSERT INTO model_prices (model, input, output) VALUES ('small', 1, 0), ('large', 1000, 0)".into(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(insert))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let told = |at: i64,
                run: Uuid,
                model: &str,
                tool: &str,
                of: &dyn Fn(&mut runtraced::proto::RunStarted)| {
        let mut events = finished(at, run, "worker", tool);
        events[0] = started_with(events[0].clone(), |start| of(start));
        for event in &mut events {
            if let Some(Body::TokenCount(count)) = &mut event.event {
                count.model = Some(model.to_owned());
            }
        }
        events
    };
    daemon
        .submit(told(0, cheap, "small", "search", &|start| {
            start.customer_id = id(customer);
        }))
        .await;
    daemon
        .submit(told(60_000, dear, "large", "send", &|start| {
            start.session_id = id(session);
            start.parent_run_id = id(cheap);
        }))
        .await;
    daemon
        .submit(told(120_000, unknown, "nobody-knows", "search", &|start| {
            start.metadata_json = Some("{\"user\":\"dana\",\"tags\":[\"a\",\"b\"]}".into());
        }))
        .await;
    // A thousand tokens: 0.001 and 1 US dollar.
    for (filter, expected) in [
        (format!("customer={customer}"), vec![cheap]),
        (format!("customer={user}"), vec![]),
        (format!("user={user}"), vec![dear]),
        ("user=dana".to_owned(), vec![unknown]),
        (format!("user=dana&user={user}"), vec![unknown, dear]),
        ("user=nobody".to_owned(), vec![]),
        (format!("session={session}"), vec![dear]),
        (format!("parent={cheap}"), vec![dear]),
        ("tag=b".to_owned(), vec![unknown]),
        ("tag=b&tag=t-send".to_owned(), vec![unknown, dear]),
        ("tag=t-".to_owned(), vec![]),
        ("min_cost=0".to_owned(), vec![dear, cheap]),
        ("max_cost=0.5".to_owned(), vec![cheap]),
        ("min_cost=0.001&max_cost=0.001".to_owned(), vec![cheap]),
        ("min_cost=0.0011".to_owned(), vec![dear]),
        ("min_cost=1.01".to_owned(), vec![]),
        ("max_tokens=1049".to_owned(), vec![]),
        ("sort=cost".to_owned(), vec![dear, cheap, unknown]),
        (
            format!("customer={customer}&tag=t-search&max_cost=1"),
            vec![cheap],
        ),
        (format!("customer={customer}&tag=t-send"), vec![]),
    ] {
        let answer = get(&daemon, &format!("/api/runs?{filter}")).await;
        let expected: Vec<String> = expected.iter().map(Uuid::to_string).collect();
        assert_eq!(answer.ids("run_id"), expected, "{filter}");
    }
    let row = get(&daemon, "/api/runs?user=dana").await.json()["rows"][0].clone();
    assert_eq!(row["cost_usd"], serde_json::Value::Null);
    assert_eq!(row["unpriced_calls"], 1);
    assert_eq!(row["user_name"], "dana");
    let by_user = get(&daemon, "/api/cost?by=user&since=2025-12-31T00:00:00Z")
        .await
        .json();
    let keys: Vec<_> = by_user["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].clone())
        .collect();
    assert!(
        keys.contains(&user.to_string().into()) && keys.contains(&"dana".into()),
        "{keys:?}"
    );
    assert_eq!(
        get_as(&daemon, "", "/api/runs?customer=acme").await.status,
        400
    );
    daemon.finish().await;
}
