//! What the daemon writes with and without the flag.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{Event, RefusalCode};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::sent::{ONCE, call, conversation, history, number, said, sent, shown};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, step};
use crate::support::pg;
use crate::support::product::before_insert;
use crate::support::tables::count;

const BODY_BYTES: &str = "SELECT coalesce(sum(length(body::text)), 0)::bigint FROM agent_contents";

/// The bytes in bodies, the contents that are whole values, and all rows.
async fn sizes(conn: &mut PgConnection) -> [i64; 3] {
    let leaves = "SELECT count(*) FROM agent_contents WHERE kind = 0";
    [
        number(conn, BODY_BYTES).await,
        number(conn, leaves).await,
        count(conn, "agent_contents").await,
    ]
}

fn events(calls: Vec<(Uuid, Event)>) -> Vec<Event> {
    calls.into_iter().map(|(_, event)| event).collect()
}

/// Scenario: 100 calls of one run send their whole history, one a batch; then as one batch for
/// another run; then all again.
/// Guarantees: what was said is stored about once in each run; each call adds a few rows; what is
/// sent again adds none and counts as duplicates; everybody reads what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_stored_once() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let mut conn = database.connect().await;
    let said_bytes: usize = (0..200).map(|turn| said(turn).len()).sum();
    let (one, two) = (new_id(), new_id());
    let (one_by_one, at_once) = (
        events(conversation(one, 100)),
        events(conversation(two, 100)),
    );
    for event in &one_by_one {
        daemon.submit(vec![event.clone()]).await;
    }
    let (rows, bytes) = (
        count(&mut conn, "agent_contents").await,
        number(&mut conn, BODY_BYTES).await,
    );
    let bytes = usize::try_from(bytes).unwrap();
    assert!(bytes < said_bytes * 3 / 2, "{bytes} bytes of {said_bytes}");
    assert!(rows < 100 * 12, "{rows} rows");
    daemon.submit(at_once.clone()).await;
    assert_eq!(count(&mut conn, "agent_contents").await, 2 * rows);

    for events in [&one_by_one, &at_once] {
        let outcome = daemon.submit(events.clone()).await;
        assert_eq!((outcome.committed, outcome.duplicate), (0, 100));
    }
    assert_eq!(count(&mut conn, "agent_contents").await, 2 * rows);
    let metrics = daemon.metrics().await;
    let [values, new] =
        ["values", "new"].map(|name| metrics[&format!("runtraced_content_{name}_bytes_total")]);
    assert!(new < values / 20, "{new} of {values} bytes are new");
    let all = [one_by_one, at_once].concat();
    assert_eq!(shown(&mut conn, &[one, two]).await, sent(&all));
    daemon.finish().await;
}

/// Scenario: a call repeats a history of which little is stored; one begins later in it; one
/// begins with something new; then a batch repeats a step and brings a new one.
/// Guarantees: only what is new is added, however far back it is; a window that moves adds its
/// chain, and none of its elements again; everybody reads what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_missing_is_added() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let mut conn = database.connect().await;
    let run = new_id();
    let clock = |turns| {
        format!(
            "[{{\"time\": \"{}\"}}, {}",
            "9".repeat(300),
            &history(turns)[1..]
        )
    };
    let inputs = [
        history(0..4),
        history(0..300),
        history(0..300),
        history(120..310),
        clock(0..300),
        history(0..302),
    ];
    let mut all = Vec::new();
    let (mut grown, mut leaves, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for (n, input) in inputs.iter().enumerate() {
        let before = sizes(&mut conn).await;
        let event = call(n as i64, run, new_id(), input, "1");
        daemon.submit(vec![event.clone()]).await;
        all.push(event);
        let after = sizes(&mut conn).await;
        grown.push(after[0] - before[0]);
        leaves.push(after[1] - before[1]);
        rows.push(after[2] - before[2]);
    }
    let whole = i64::try_from(history(0..300).len()).unwrap();
    assert!(grown[1] > whole * 3 / 4, "{grown:?}");
    assert_eq!(grown[2], 0, "{grown:?}");
    // Short messages are gathered anew where the window begins.
    assert!(
        grown[3] < whole / 4 && grown[4] < whole / 2 && grown[5] < whole / 50,
        "{grown:?}"
    );
    // An element has at most a row of its own and one of the chain.
    assert!(rows[1] > 300 && rows[1] <= 2 * 300, "{rows:?}");
    assert_eq!(rows[2], 0, "{rows:?}");
    let long =
        |turns: std::ops::Range<usize>| turns.filter(|turn| said(*turn).len() >= 256).count();
    let new_elements = [long(300..310), 1, 0].map(|count| i64::try_from(count).unwrap());
    assert_eq!(leaves[3..], new_elements, "{rows:?}");
    // The chains of both are new; the call that goes on adds the last segments and elements.
    for (call, turns) in [(3, 120..310), (4, 0..300)] {
        let chain = rows[call] - leaves[call];
        let elements = i64::try_from(turns.len()).unwrap();
        assert!(
            chain > elements / 2 && chain <= elements + 1,
            "{call}: {rows:?}"
        );
    }
    assert!((1..=5).contains(&rows[5]), "{rows:?}");

    let new = call(9, run, new_id(), &history(0..400), &history(0..2));
    let outcome = daemon.submit(vec![all[0].clone(), new.clone()]).await;
    assert_eq!((outcome.committed, outcome.duplicate), (1, 1));
    all.push(new);
    assert_eq!(shown(&mut conn, &[run]).await, sent(&all));
    daemon.finish().await;
}

/// Scenario: values that look like references come to a daemon without the flag, and to one with
/// it; one of them names a content of the run.
/// Guarantees: they are read as they were sent. Without the flag, nothing else is a content.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_for_a_reference() {
    for flags in [&[][..], ONCE] {
        let database = pg::database().await;
        let daemon = Daemon::with_args(database.url(), flags).await;
        let mut conn = database.connect().await;
        let run = new_id();
        daemon
            .submit(vec![call(
                0,
                run,
                new_id(),
                &history(0..9),
                "{\"$content\": 1}",
            )])
            .await;
        let sql = "SELECT hash FROM agent_contents LIMIT 1";
        let known: Uuid = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
        let looks = [
            json!({ "$content": known }).to_string(),
            format!("{{\"\\u0024content\": \"{known}\"}}"),
            "{\"$content\": \"a\", \"$content\": null}".to_owned(),
        ];
        let calls: Vec<Event> = (1..)
            .zip(&looks)
            .map(|(n, look)| call(n, run, new_id(), look, look))
            .collect();
        daemon.submit(calls.clone()).await;
        let shown = shown(&mut conn, &[run]).await;
        for (step, want) in sent(&calls) {
            assert_eq!(shown[&step], want);
        }
        if flags.is_empty() {
            assert_eq!(count(&mut conn, "agent_contents").await, 4);
        }
        daemon.finish().await;
    }
}

/// Scenario: a batch with large values has a step whose id another run has, a second end that
/// loses, and a step that the batch names for two runs.
/// Guarantees: only what is wrong is refused; the rest is written and read.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_dropped_harms_no_other() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let mut conn = database.connect().await;
    let (other, run, taken, contested) = (new_id(), new_id(), new_id(), new_id());
    daemon.submit(vec![step(0, 1, other, taken)]).await;
    let owner = call(2, run, contested, &history(0..20), "1");
    daemon.submit(vec![owner.clone()]).await;
    let batch = vec![
        call(5, run, taken, &history(0..30), &said(50)),
        call(2, other, contested, &history(0..40), &said(51)),
        call(3, run, contested, &history(0..60), &said(52)),
        call(2, run, contested, &history(0..50), &said(53)),
        call(7, run, new_id(), &history(0..70), &said(54)),
    ];
    let outcome = daemon.submit(batch.clone()).await;
    let refused: Vec<(u32, RefusalCode)> = outcome
        .refused
        .iter()
        .map(|refusal| (refusal.index, refusal.code()))
        .collect();
    let conflict = RefusalCode::IdConflict;
    assert_eq!(refused, [(0, conflict), (1, conflict)]);
    assert_eq!((outcome.committed, outcome.duplicate), (2, 1));
    let want = sent(&[batch[2].clone(), batch[4].clone()]);
    assert_eq!(shown(&mut conn, &[run]).await, want);
    daemon.finish().await;
}

/// Scenario: a trigger of the product refuses contents with a word, of one step among many; it
/// refuses them where they are copied, and where they are inserted.
/// Guarantees: that step alone becomes a dead letter, which holds the whole value.
#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_postgres_refuses_harms_its_step_only() {
    let database = pg::database().await;
    let mut daemon = Daemon::with_args(database.url(), ONCE).await;
    daemon.expect_warnings("dead letter");
    daemon.expect_warnings("dead_letter");
    let mut conn = database.connect().await;
    before_insert(
        &mut conn,
        "agent_contents",
        "IF NEW.body::text LIKE '%poison%' THEN RAISE 'no poison'; END IF; RETURN NEW;",
    )
    .await;
    let run = new_id();
    let bad_input = format!("[\"poison\", {}", &history(0..30)[1..]);
    let mut all = events(conversation(run, 20));
    for round in 0..2 {
        let bad = call(40, run, new_id(), &bad_input, "1");
        // The second time there are rows to merge.
        let new = call(50 + round, run, new_id(), &history(0..80), "1");
        let batch = [&all[..], &[bad, new.clone()]].concat();
        let outcome = daemon.submit(batch).await;
        let refused: Vec<usize> = outcome.refused.iter().map(|r| r.index as usize).collect();
        assert_eq!(refused, [all.len()]);
        all.push(new);
    }
    assert_eq!(shown(&mut conn, &[run]).await, sent(&all));
    let sql = "SELECT payload::text FROM ingest_dead_letters";
    let letters: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert!(
            letter.contains("poison") && letter.contains("turn 29 says"),
            "{letter}"
        );
    }
    daemon.finish().await;
}

/// Scenario: events of a run that was erased come again, with large values, beside those of
/// another run.
/// Guarantees: they are ignored and leave no content; the others are written.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_run_gets_no_contents() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let mut conn = database.connect().await;
    let (gone, run) = (new_id(), new_id());
    let sql = "INSERT INTO ingest_tombstones (id) VALUES ($1)";
    sqlx::query(sql)
        .bind(gone)
        .execute(&mut conn)
        .await
        .unwrap();
    let all = events(conversation(run, 9));
    let outcome = daemon
        .submit([events(conversation(gone, 9)), all.clone()].concat())
        .await;
    assert_eq!(outcome.committed, 9);
    assert_eq!(shown(&mut conn, &[run, gone]).await, sent(&all));
    let sql = format!("SELECT count(*) FROM agent_contents WHERE run_id = '{gone}'");
    assert_eq!(number(&mut conn, &sql).await, 0);
    daemon.finish().await;
}

/// Scenario: a step's start brings a large input, its end a large output; a retry ends it later.
/// Guarantees: both are read; the values of an end without details stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_an_end_bring_a_value_each() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let mut conn = database.connect().await;
    let (run, step_id) = (new_id(), new_id());
    let whole = call(9, run, step_id, &history(0..40), &history(0..12));
    let Some(Body::StepEnded(mut end)) = whole.event.clone() else {
        panic!("{whole:?}");
    };
    let started = runtraced::proto::StepStarted {
        step_id: id(step_id),
        run_id: id(run),
        details: end.details.take(),
    };
    let event = |millis, body| crate::support::events::event(millis, body);
    daemon
        .submit(vec![event(1, Body::StepStarted(started))])
        .await;
    daemon.submit(vec![event(9, Body::StepEnded(end))]).await;
    assert_eq!(shown(&mut conn, &[run]).await, sent(&[whole]));
    daemon.finish().await;
}

/// Scenario: steps come to a daemon with the flag or without it, and come again after it was
/// switched, with a newer one; then with the first flag once more.
/// Guarantees: nothing is refused, whether it counts as a duplicate or not; everybody reads what was
/// sent, each time.
#[tokio::test(flavor = "multi_thread")]
async fn steps_that_come_again_after_the_flag_was_switched_read_the_same() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    for flags in [[&[][..], ONCE, &[]], [ONCE, &[], ONCE]] {
        let run = new_id();
        let all = events(conversation(run, 9));
        for (flags, known) in flags.into_iter().zip(6..) {
            let daemon = Daemon::with_args(database.url(), flags).await;
            let batch = all[..known].to_vec();
            for _ in 0..2 {
                let outcome = daemon.submit(batch.clone()).await;
                assert_eq!(outcome.refused, []);
                let settled = outcome.committed + outcome.duplicate;
                assert_eq!(settled, batch.len() as u64);
                assert_eq!(shown(&mut conn, &[run]).await, sent(&batch));
            }
            daemon.finish().await;
        }
    }
}
