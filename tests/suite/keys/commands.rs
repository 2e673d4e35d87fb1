//! `runtraced keys` as an operator uses it, and `--key` of those that send.

use serde_json::Value;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{create, create_for, customer, revoke, runtraced, with_key};
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::tables::{count, row};

/// Scenario: keys are made with and without a customer and limits, listed, and one revoked.
/// Guarantees: a key is printed once and alone on stdout; nothing of its secret is in the database or
/// in any list, only SHA-256 of the whole; the list tells whose, how much and when.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_revoked() {
    let database = pg::database().await;
    let url = database.url();
    let mut conn = database.connect().await;
    let said = runtraced(url, &["keys", "list"]).await;
    assert_eq!((said.code, &*said.out), (0, "No keys.\n"));

    let acme = customer(&mut conn).await;
    let free = create(url, "gateway", &["--max-events-per-second", "1500"]).await;
    let bound = create_for(url, acme).await;
    for key in [&free, &bound] {
        let [tag, id, secret] = key.text.split('_').collect::<Vec<_>>()[..] else {
            panic!("{key:?}");
        };
        assert_eq!((tag, id.len(), secret.len()), ("rt", 32, 64));
        let dump: String =
            sqlx::query_scalar("SELECT string_agg(to_jsonb(k)::text, '') FROM ingest_keys k")
                .fetch_one(&mut conn)
                .await
                .unwrap();
        assert!(!dump.contains(secret), "{dump}");
        let right: bool = sqlx::query_scalar(
            "SELECT key_sha256 = sha256($2::bytea) FROM ingest_keys WHERE id = $1",
        )
        .bind(key.id)
        .bind(key.text.as_bytes())
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert!(right);
        for args in [&["keys", "list"][..], &["keys", "list", "--json"]] {
            let said = runtraced(url, args).await;
            assert!(said.out.contains(&key.id.to_string()), "{}", said.out);
            assert!(!said.out.contains(secret) && !said.out.contains("sha256"));
        }
    }
    let list = runtraced(url, &["keys", "list"]).await.out;
    let line = |name: &str| list.lines().find(|line| line.contains(name)).unwrap();
    assert!(line("gateway").contains("any"), "{list}");
    assert!(
        line("gateway").contains("1,500") || line("gateway").contains("1 500"),
        "{list}"
    );
    assert!(line("theirs").contains("Acme"), "{list}");

    revoke(url, &free).await;
    let list = runtraced(url, &["keys", "list"]).await.out;
    assert!(!list.contains("gateway"), "{list}");
    let json = runtraced(url, &["keys", "list", "--revoked", "--json"])
        .await
        .out;
    let keys: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert!(keys[0]["revoked_at"].is_string() && keys[1]["revoked_at"].is_null());
    assert_eq!(keys[1]["customer_id"], acme.to_string());
    conn.close().await.unwrap();
}

/// Scenario: a customer that is not there, or was deleted; the nil UUID; no name; a key that is not
/// there, or was revoked before; limits of zero.
/// Guarantees: each is told and makes or changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told() {
    let database = pg::database().await;
    let url = database.url();
    let mut conn = database.connect().await;
    let deleted = customer(&mut conn).await;
    sqlx::query("UPDATE customers SET deleted_at = now() WHERE id = $1")
        .bind(deleted)
        .execute(&mut conn)
        .await
        .unwrap();
    for id in [new_id(), deleted, Uuid::nil()] {
        let args = [
            "keys",
            "create",
            "--name",
            "x",
            "--customer",
            &id.to_string(),
        ];
        let said = runtraced(url, &args).await;
        assert_eq!((said.code, &*said.out), (1, ""));
        assert!(said.err.contains(&format!("there is no customer {id}")));
    }
    for args in [
        &["keys", "create"][..],
        &["keys", "create", "--name", " "],
        &[
            "keys",
            "create",
            "--name",
            "x",
            "--max-events-per-second",
            "0",
        ],
        &["keys", "create", "--name", "x", "--customer", "acme"],
        &["keys", "revoke", "first"],
    ] {
        let said = runtraced(url, args).await;
        assert_eq!((said.code, &*said.out), (64, ""), "{args:?}: {}", said.err);
    }
    assert_eq!(count(&mut conn, "ingest_keys").await, 0);
    let stranger = new_id().to_string();
    let said = runtraced(url, &["keys", "revoke", &stranger]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("there is no key {stranger}")));

    let key = create(url, "once", &[]).await;
    revoke(url, &key).await;
    let at = row(&mut conn, "SELECT revoked_at FROM ingest_keys").await;
    let said = runtraced(url, &["keys", "revoke", &key.id.to_string()]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("was revoked at 2"), "{}", said.err);
    let after = row(&mut conn, "SELECT revoked_at FROM ingest_keys").await;
    assert_eq!(after, at);
    let said = runtraced("postgres://127.0.0.1:1/none", &["keys", "list"]).await;
    assert_eq!(said.code, 69, "{}", said.err);
}

/// Scenario: `send` to a daemon that requires keys, with a good key by variable and by flag, with none,
/// and with one that is not valid.
/// Guarantees: what is not let in is told with exit code 69 and without the key.
#[tokio::test(flavor = "multi_thread")]
async fn send_presents_a_key() {
    let (database, daemon, key) = with_key(&["--require-keys"], &[]).await;
    let dir = crate::support::watchdog::scratch_dir("send");
    let file = dir.join("events.jsonl");
    let line = format!(
        "{{\"time\":\"2026-01-31T12:00:00Z\",\"heartbeat\":{{\"runId\":\"{}\"}}}}\n",
        new_id()
    );
    std::fs::write(&file, line).unwrap();
    let file = file.to_str().unwrap();
    let args = ["send", file, "--endpoint", daemon.grpc_url()];
    let said = runtraced(database.url(), &args).await;
    assert_eq!(said.code, 69, "{}", said.err);
    assert!(said.err.contains("a key is needed"), "{}", said.err);
    let wrong = key.text.replace(&key.text[90..], "0000000000");
    for (text, code) in [(&key.text, 0), (&wrong, 69)] {
        let with = [&args[..], &["--key", text]].concat();
        let said = runtraced(database.url(), &with).await;
        assert_eq!(said.code, code, "{}", said.err);
        assert!(!said.err.contains(text) && !said.out.contains(text));
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.args(args).env("RUNTRACED_KEY", &key.text);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    assert!(output.await.unwrap().status.success());
    let help = runtraced(database.url(), &["send", "--help"]).await.out;
    assert!(
        help.contains("RUNTRACED_KEY") && !help.contains("rt_0"),
        "{help}"
    );
    std::fs::remove_dir_all(dir).unwrap();
    daemon.finish().await;
}
