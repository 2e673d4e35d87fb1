//! Scores that are none, and tags that are none.

use runtraced::proto::RefusalCode;

use super::{Neighbours, count, finish, refused};
use crate::support::daemon::Daemon;
use crate::support::{pg, valid};

/// Scenario: scores without a name, with values that are no numbers, with texts that are too long, with metadata
/// that is no object; observations whose tags are no texts; between good events.
/// Guarantees: each is refused with its code and reason, and its neighbours are committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_score_is_refused() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-field-bytes", "300"]).await;
    let mut conn = database.connect().await;
    let long = || Some("x".repeat(301));
    let mut bad = vec![
        (
            valid::score_added(|e| e.name.clear()),
            RefusalCode::MissingField,
            "name is missing",
        ),
        (
            valid::score_added(|e| e.name = "x".repeat(301)),
            RefusalCode::FieldTooLong,
            "name is longer than 300 bytes",
        ),
        (
            valid::score_added(|e| e.label = long()),
            RefusalCode::FieldTooLong,
            "label is longer than 300 bytes",
        ),
        (
            valid::score_added(|e| e.comment = long()),
            RefusalCode::FieldTooLong,
            "comment is longer than 300 bytes",
        ),
        (
            valid::score_added(|e| e.source = long()),
            RefusalCode::FieldTooLong,
            "source is longer than 300 bytes",
        ),
        (
            valid::score_added(|e| e.metadata_json = Some("[1]".into())),
            RefusalCode::InvalidJson,
            "metadata_json is not a JSON object",
        ),
    ];
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        bad.push((
            valid::score_added(|e| e.value = Some(value)),
            RefusalCode::NumberOutOfRange,
            "value is not a finite number",
        ));
    }
    for tags in ["{}", "\"a\"", "[1]", "[\"a\", null]"] {
        bad.push((
            valid::run_observed(|e| e.tags_json = Some(tags.into())),
            RefusalCode::InvalidJson,
            "tags_json is not an array of texts",
        ));
    }
    let (neighbours, batch) = Neighbours::around(bad.iter().map(|(event, ..)| event.clone()));
    let outcome = daemon.submit(batch).await;
    let want: Vec<_> = (0_u32..)
        .zip(&bad)
        .map(|(number, (_, code, reason))| (*code, number * 2 + 1, *reason))
        .collect();
    assert_eq!(refused(&outcome), want);
    assert_eq!(outcome.committed, bad.len() as u64 + 1);
    neighbours.check(&mut conn).await;
    assert_eq!(count(&mut conn, "agent_scores").await, 0);
    finish(daemon).await;
}
