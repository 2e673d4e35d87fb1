//! Who may send, and what they may write: keys, their limits, and tenancy.

mod attacks;
mod commands;
mod customers;
mod doors;
mod flood;
mod fresh;
mod lifetime;
mod limits;
mod planted;
mod races;
mod secrets;
mod side_doors;
mod spooled;
mod tenancy;
mod world;

use std::process::Command;
use std::time::{Duration, Instant};

use runtraced::client::{Client, ClientError, RetryPolicy};
use runtraced::proto::{Event, Outcome, RefusalCode};
use sqlx::PgConnection;
use tonic::Code;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg::{self, TestDatabase};

/// What everything is told that is not the customer's.
const DENIED: &str = "not a run or session of this key's customer";

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program on a database.
async fn runtraced(database: &str, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.args(args).env("DATABASE_URL", database);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A key, as its owner has it.
#[derive(Clone, Debug)]
struct Key {
    id: Uuid,
    text: String,
}

/// Makes a key as an operator does.
async fn create(database: &str, name: &str, more: &[&str]) -> Key {
    let args = [&["keys", "create", "--name", name], more].concat();
    let said = runtraced(database, &args).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let text = said.out.trim().to_owned();
    let id = text.split('_').nth(1).unwrap();
    Key {
        id: id.parse().unwrap(),
        text,
    }
}

/// The same, for one customer.
async fn create_for(database: &str, customer: Uuid) -> Key {
    create(database, "theirs", &["--customer", &customer.to_string()]).await
}

async fn revoke(database: &str, key: &Key) {
    let said = runtraced(database, &["keys", "revoke", &key.id.to_string()]).await;
    assert_eq!(said.code, 0, "{}", said.err);
}

/// A customer that exists.
async fn customer(conn: &mut PgConnection) -> Uuid {
    let id = new_id();
    sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'Acme', 1)")
        .bind(id)
        .execute(conn)
        .await
        .unwrap();
    id
}

/// A client that presents a key and gives up at once.
async fn client(daemon: &Daemon, key: &Key) -> Client {
    let retry = RetryPolicy {
        give_up_after: Duration::from_secs(20),
        ..RetryPolicy::default()
    };
    let client = Client::connect(daemon.grpc_url(), retry).await.unwrap();
    client.with_key(&key.text).unwrap()
}

/// The code with which a call was refused as a whole.
fn refused(error: ClientError) -> Code {
    match error {
        ClientError::Refused(status) => status.code(),
        other => panic!("{other}"),
    }
}

async fn submit(client: &Client, events: Vec<Event>) -> Outcome {
    client.submit(events).await.unwrap().outcome.unwrap()
}

/// Codes and positions of refused events.
fn refusals(outcome: &Outcome) -> Vec<(RefusalCode, u32)> {
    let refused = outcome.refused.iter();
    refused.map(|r| (r.code(), r.index)).collect()
}

/// A daemon with these flags, its database, and a key made as `keys create` is told, which
/// it takes by now.
async fn with_key(flags: &[&str], told: &[&str]) -> (TestDatabase, Daemon, Key) {
    let database = pg::database().await;
    let key = create(database.url(), "agent", told).await;
    let daemon = Daemon::with_args(database.url(), flags).await;
    until_judged(&daemon, &key, true).await;
    (database, daemon, key)
}

/// Waits until the daemon takes a key, or no longer does; how long that took.
async fn until_judged(daemon: &Daemon, key: &Key, valid: bool) -> Duration {
    let begin = Instant::now();
    let client = client(daemon, key).await;
    loop {
        match client.submit(vec![run_started(0, new_id())]).await {
            Ok(_) if valid => return begin.elapsed(),
            Err(error) if !valid => {
                assert_eq!(refused(error), Code::Unauthenticated);
                return begin.elapsed();
            }
            Ok(_) => {}
            Err(error) => assert_eq!(refused(error), Code::Unauthenticated),
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "valid: {valid}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
