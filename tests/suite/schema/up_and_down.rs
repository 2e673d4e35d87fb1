//! Each down file undoes its up file exactly.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::catalog::{MIGRATIONS, dump, run};
use crate::support::daemon::Daemon;
use crate::support::events::{event, id};
use crate::support::pg;

#[tokio::test]
async fn each_down_undoes_its_up_and_up_again_is_the_same() {
    let database = pg::empty_database().await;
    let mut connection = database.connect().await;
    let ups: Vec<_> = MIGRATIONS
        .iter()
        .filter(|m| m.migration_type.is_up_migration())
        .collect();
    let mut before = Vec::new();
    for up in &ups {
        before.push(dump(database.url()).await);
        run(&mut connection, up.sql.as_str()).await;
    }
    let top = dump(database.url()).await;
    for (up, expected) in ups.iter().zip(&before).rev() {
        let down = MIGRATIONS
            .iter()
            .find(|m| m.version == up.version && m.migration_type.is_down_migration());
        let down = down.unwrap_or_else(|| panic!("{} has no down", up.version));
        run(&mut connection, down.sql.as_str()).await;
        assert_eq!(&dump(database.url()).await, expected, "{}", up.description);
    }
    for up in &ups {
        run(&mut connection, up.sql.as_str()).await;
    }
    assert_eq!(dump(database.url()).await, top);
}

#[tokio::test]
async fn sqlx_goes_up_down_and_up() {
    let database = pg::empty_database().await;
    let mut connection = database.connect().await;
    MIGRATIONS.run(&mut connection).await.unwrap();
    let top = dump(database.url()).await;
    MIGRATIONS.undo(&mut connection, 0).await.unwrap();
    let rest = dump(database.url()).await;
    for gone in ["agent_runs", "run_timeline", "SCHEMA auth"] {
        assert!(!rest.contains(gone), "{gone} is left");
    }
    MIGRATIONS.run(&mut connection).await.unwrap();
    assert_eq!(dump(database.url()).await, top);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn down_with_data_keeps_what_the_seed_can_hold() {
    let database = pg::plain_database().await;
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type)
           VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'b');
         INSERT INTO agent_steps (run_id, step_type, name)
           VALUES ('00000000-0000-0000-0000-000000000001', 'other', 'kept')",
    )
    .await;
    MIGRATIONS.undo(&mut connection, 4).await.unwrap();
    let (name, step_type): (String, Option<String>) =
        sqlx::query_as("SELECT name, step_type FROM agent_steps")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!((name.as_str(), step_type), ("kept", None));
    MIGRATIONS.run(&mut connection).await.unwrap();
}

/// Scenario: runs whose error is that of a failed part, that of their end, or nobody's, as they
/// were before migration 18; then migration 20.
/// Guarantees: it marks the same errors as parts' that a daemon does. (An end's own error in a
/// part's very words was not told apart before.)
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_parts_are_found_in_runs_of_before() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let told = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    for (number, (of_end, of_part)) in (1..).zip([("", "part"), ("end", "part"), ("", "")]) {
        let run_id = id(Uuid::from_u128(number));
        let end = proto::RunEnded {
            run_id: run_id.clone(),
            status: EndStatus::Completed.into(),
            error: told(of_end),
            from_root_span: true,
            ..Default::default()
        };
        let part = proto::RunObserved {
            run_id,
            outcome: EndStatus::Failed.into(),
            error: told(of_part),
            ..Default::default()
        };
        let events = [Body::RunEnded(end), Body::RunObserved(part)];
        daemon
            .submit(events.map(|body| event(0, body)).into())
            .await;
    }
    daemon.finish().await;
    let mut connection = database.connect().await;
    let marks = async |connection: &mut PgConnection| -> Vec<(Option<String>, Option<bool>)> {
        let query = "SELECT error, error_observed FROM agent_runs ORDER BY id";
        sqlx::query_as(query).fetch_all(connection).await.unwrap()
    };
    let made = marks(&mut connection).await;
    let expected = [("part", Some(true)), ("end", None), ("", None)];
    assert_eq!(made, expected.map(|(error, mark)| (told(error), mark)));
    run(
        &mut connection,
        "UPDATE agent_runs SET error_observed = NULL",
    )
    .await;
    let is_it =
        |m: &&sqlx::migrate::Migration| m.version == 20 && m.migration_type.is_up_migration();
    let backfill = MIGRATIONS.iter().find(is_it).unwrap();
    run(&mut connection, backfill.sql.as_str()).await;
    assert_eq!(marks(&mut connection).await, made);
}

#[test]
fn every_up_file_says_what_it_does_and_how_it_is_undone() {
    for up in MIGRATIONS
        .iter()
        .filter(|m| m.migration_type.is_up_migration())
    {
        let sql = up.sql.as_str();
        assert!(sql.starts_with("-- "), "{}", up.description);
        let name = format!(
            "-- Rollback: {:04}_{}.down.sql\n",
            up.version,
            up.description.replace(' ', "_")
        );
        assert!(sql.contains(&name), "{name}");
    }
}
