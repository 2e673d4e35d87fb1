//! `runtraced customers`, and keys for those that it adds.

use serde_json::Value;

use super::{create_for, runtraced};
use crate::support::pg;

/// Scenario: on a fresh database, customers are added with an id of the operator's and with a new
/// one, keys are made for one of them, and all are listed; then one is deleted.
/// Guarantees: the id is printed alone; a key can be bound to it at once; the list shows what was
/// given and how many keys there are, deleted ones only if asked.
#[tokio::test(flavor = "multi_thread")]
async fn customers_are_added_and_listed() {
    let database = pg::database().await;
    let url = database.url();
    let said = runtraced(url, &["customers", "list"]).await;
    assert_eq!((said.code, &*said.out), (0, "No customers.\n"));

    let id = "6a1d9a0c-0000-4000-8000-000000000001";
    let args = ["customers", "add", "--name", "Acme", "--id", id];
    let said = runtraced(url, &args).await;
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, &*format!("{id}\n")),
        "{}",
        said.err
    );
    let args = [
        "customers",
        "add",
        "--name",
        "Initech",
        "--arr",
        "1200.50",
        "--tier",
        "mid-market",
    ];
    let said = runtraced(url, &args).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let other: uuid::Uuid = said.out.trim().parse().unwrap();
    create_for(url, id.parse().unwrap()).await;

    let list = runtraced(url, &["customers", "list"]).await.out;
    let line = |name: &str| list.lines().find(|line| line.contains(name)).unwrap();
    assert!(line("Acme").contains(id), "{list}");
    assert!(line("Initech").contains("mid-market  1200.50"), "{list}");
    let json = runtraced(url, &["customers", "list", "--json"]).await.out;
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    let keys: Vec<_> = rows.iter().map(|row| &row["keys"]).collect();
    assert_eq!(keys, [&Value::from(1), &Value::from(0)], "{json}");

    let mut conn = database.connect().await;
    sqlx::query("UPDATE customers SET deleted_at = now() WHERE id = $1")
        .bind(other)
        .execute(&mut conn)
        .await
        .unwrap();
    let list = runtraced(url, &["customers", "list"]).await.out;
    assert!(!list.contains("Initech"), "{list}");
    let list = runtraced(url, &["customers", "list", "--deleted"])
        .await
        .out;
    assert!(list.contains("Initech"), "{list}");
}

/// Scenario: an id that is taken, no name, a number that is none, the nil UUID; a key for a
/// customer that is not there.
/// Guarantees: each is told, with what to do, and adds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn customers_that_cannot_be_added_are_told() {
    let database = pg::database().await;
    let url = database.url();
    let id = "6a1d9a0c-0000-4000-8000-000000000001";
    let nil = "00000000-0000-0000-0000-000000000000";
    let add = ["customers", "add", "--name"];
    let first = runtraced(url, &[&add[..], &["Acme", "--id", id]].concat()).await;
    assert_eq!(first.code, 0, "{}", first.err);
    for (args, code, says) in [
        (
            vec!["Acme 2", "--id", id],
            1,
            "already; choose another --id",
        ),
        (vec![" "], 64, "--name is empty"),
        (vec!["A", "--arr", "much"], 64, "--arr much is not a number"),
        (vec!["A", "--arr", "NaN"], 64, "--arr NaN is not a number"),
        (vec!["A", "--id", nil], 64, "nil UUID"),
    ] {
        let said = runtraced(url, &[&add[..], &args].concat()).await;
        assert_eq!(said.code, code, "{args:?}: {}", said.err);
        assert!(said.err.contains(says), "{args:?}: {}", said.err);
    }
    let other = "6a1d9a0c-0000-4000-8000-000000000002";
    let key = ["keys", "create", "--name", "k", "--customer", other];
    let said = runtraced(url, &key).await;
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("`runtraced customers add --id"),
        "{}",
        said.err
    );
    let list = runtraced(url, &["customers", "list"]).await.out;
    assert_eq!(list.matches("6a1d9a0c").count(), 1, "{list}");
}
