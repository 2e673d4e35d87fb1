//! The crate in `clients/rust`. It has no calls of its own for runs and steps: an agent sends
//! events, or uses the `tracing` layer. So the cases begin with their events here.

use runtraced::json_mapping::event_from_line;
use runtraced::proto::{Durability, Event};
use runtraced_client::{Client, StreamOptions};

use super::ClientStage;
use super::rows::{self, CaseEvents};

fn decoded(case: &CaseEvents) -> Vec<Event> {
    let lines = case.lines.lines();
    lines
        .map(|line| event_from_line(line).unwrap().event)
        .collect()
}

/// A client for the customer of a case.
fn client_for(client: &Client, case: &CaseEvents) -> Client {
    match case.customer {
        Some(customer) => client.clone().for_customer(customer),
        None => client.clone(),
    }
}

/// Scenario: the Rust client sends the events of each conformance case in one call, and then again.
/// Guarantees: all are settled, and the second time all are duplicates. The rows are those that the
/// calls of the cases leave from Python and TypeScript.
#[tokio::test(flavor = "multi_thread")]
async fn rust_leaves_the_rows_of_the_conformance_cases() {
    let stage = ClientStage::start().await;
    let client = stage.daemon.client().await;
    for case in rows::events_of_all() {
        let events = decoded(&case);
        let count = events.len() as u64;
        let client = client_for(&client, &case);
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            let answer = client.submit(events.clone()).await.unwrap();
            assert_eq!(answer.durability(), Durability::Committed);
            let outcome = answer.outcome.unwrap();
            assert_eq!(outcome.refused, vec![]);
            outcomes.push((outcome.committed, outcome.duplicate));
        }
        let (committed, duplicate) = outcomes[0];
        // What a later event of the same call replaces changes nothing.
        assert_eq!(committed + duplicate, count);
        assert_eq!(outcomes[1], (0, count));
    }
    rows::assert_as_expected(&stage).await;
    stage.daemon.finish().await;
}

/// Scenario: the same over streams, in batches of two.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_rust_leave_the_same_rows() {
    let stage = ClientStage::start().await;
    let client = stage.daemon.client().await;
    for case in rows::events_of_all() {
        let events = decoded(&case);
        let count = events.len() as u64;
        let client = client_for(&client, &case);
        let mut totals = Vec::new();
        for _ in 0..2 {
            let mut stream = client.stream::<()>(StreamOptions::default());
            for batch in events.chunks(2) {
                stream.send(batch.to_vec(), ()).await.unwrap();
            }
            totals.push(stream.finish().await.unwrap());
        }
        assert_eq!(totals[0].committed + totals[0].duplicate, count);
        assert_eq!((totals[1].committed, totals[1].duplicate), (0, count));
        assert_eq!(totals[0].refused_count + totals[1].refused_count, 0);
    }
    rows::assert_as_expected(&stage).await;
    stage.daemon.finish().await;
}
