//! What is small on the wire and large in Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use runtraced::proto::event::Event as Body;
use runtraced::proto::{Event, Refusal, RefusalCode};
use tokio::task::JoinHandle;

use super::{Bystander, MEGABYTE};
use crate::otlp_doors::traces;
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{attribute, request, span, text};
use crate::support::pg::{self, TestDatabase};
use crate::support::product::{poison, refuse_poison};
use crate::support::tables::count;
use crate::support::valid;

/// A server process holds at most so much, and so many times the size of an event.
const BASE_MIB: u64 = 192;
const MULTIPLE: u64 = 48;

/// Watches the private memory of the daemon's backends.
struct Backends {
    peak_kib: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Backends {
    async fn watch(database: &TestDatabase) -> Self {
        let mut conn = database.connect().await;
        let (peak_kib, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (peak, stopped) = (peak_kib.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Relaxed) {
                let pids: Vec<i32> = sqlx::query_scalar(
                    "SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'runtraced%'",
                )
                .fetch_all(&mut conn)
                .await
                .unwrap();
                for _ in 0..20 {
                    let all = pids.iter().filter_map(|pid| private_kib(*pid));
                    peak.fetch_max(all.max().unwrap_or(0), Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        Self {
            peak_kib,
            stop,
            task,
        }
    }

    /// The most that one backend has held, in MiB; begins anew.
    fn peak_mib(&self) -> u64 {
        self.peak_kib.swap(0, Relaxed) >> 10
    }

    async fn end(self) {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap();
    }
}

fn private_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn list(item: &str, bytes: usize) -> String {
    format!(
        "[{}{item}]",
        format!("{item},").repeat(bytes / (item.len() + 1))
    )
}

fn with_output(json: &str) -> Event {
    valid::step_ended(|step| step.output_json = Some(json.to_owned()))
}

/// Scenario: 60 steps of a thousand numbers of nine bytes each that have 131,072 digits, and as
/// many of doubles at either end of their range, sent twice; the same over OTLP.
/// Guarantees: the native events are refused with a reason, the spans are taken as text; Postgres
/// holds little, and a bystander is served.
#[tokio::test(flavor = "multi_thread")]
async fn short_numbers_that_are_long_do_not_fill_postgres() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let bystander = Bystander::start(&daemon).await;
    let backends = Backends::watch(&database).await;
    let mut conn = database.connect().await;
    for number in ["1e131071", "1e-16383", "1e308", "5e-324", "1e999999"] {
        let events: Vec<Event> = (0..60).map(|_| with_output(&list(number, 9_000))).collect();
        for _ in 0..2 {
            let outcome = daemon.submit(events.clone()).await;
            assert_eq!(outcome.refused.len(), 60, "{number}");
            let refused = outcome.refused.iter();
            let code = RefusalCode::NumberOutOfRange;
            assert!(refused.clone().all(|refused| refused.code() == code));
        }
    }
    let single: Vec<Event> = ["1.7976931348623157e308", "-5e-324", "1e4000", "1", "1.0"]
        .map(with_output)
        .into();
    for _ in 0..2 {
        assert_eq!(daemon.submit(single.clone()).await.refused, []);
    }
    let doubles = ArrayValue {
        values: vec![
            AnyValue {
                value: Some(Value::DoubleValue(1e308)),
            };
            50_000
        ],
    };
    let mut span = span(new_id(), 1);
    span.attributes = vec![
        text("openinference.span.kind", "LLM"),
        attribute("numbers", Value::ArrayValue(doubles)),
        text("input.value", &list("1e131071", 100_000)),
    ];
    for _ in 0..2 {
        let request = request(vec![span.clone()]);
        let answer = traces(&daemon).await.export(request).await.unwrap();
        assert!(answer.into_inner().partial_success.is_none());
    }
    let stored = "agent_steps WHERE input #>> '{}' LIKE '[1e131071,%'";
    assert_eq!(count(&mut conn, stored).await, 1);
    let peak = backends.peak_mib();
    println!("a backend held {peak} MiB");
    assert!(peak < 64, "{peak} MiB");
    backends.end().await;
    bystander.check(&daemon, "numbers", 128).await;
    daemon.finish().await;
}

/// JSON whose parts are as short as can be, just below the limits of the endpoint.
fn dense() -> Vec<(&'static str, String)> {
    let mut shapes = Vec::new();
    for (item, bytes) in [
        ("{}", 300_000),
        ("[]", 800_000),
        ("{\"a\":1}", 700_000),
        ("1", 1_400_000),
        ("1e9", 1_400_000),
        ("\"\"", 2 * MEGABYTE),
        ("\"token\"", 6 * MEGABYTE),
    ] {
        shapes.push((item, list(item, bytes)));
    }
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    shapes.push(("deep", list(&deep, 400_000)));
    let keys: Vec<String> = (0..130_000).map(|n| format!("\"{n:07}\":1")).collect();
    shapes.push(("keys", format!("{{{}}}", keys.join(","))));
    shapes.push(("\\u", format!("\"{}\"", "\\u0001".repeat(MEGABYTE / 3))));
    shapes.push(("\\", format!("\"{}\"", "\\\\".repeat(MEGABYTE))));
    shapes
}

/// Scenario: JSON of nothing but punctuation, of deep nesting, of escapes, of keys, just below the
/// limits; as columns that are merged, as what spans tell of a run, as dead letters. Each is sent,
/// sent again, and sent with a change.
/// Guarantees: a server process holds no more than SECURITY.md says.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_a_small_multiple_of_what_is_sent() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    let backends = Backends::watch(&database).await;
    let mut conn = database.connect().await;
    refuse_poison(&mut conn).await;
    for (what, json) in dense() {
        let step = with_output(&json);
        let later = |event: &Event, seconds: i64| {
            let mut event = event.clone();
            event.time.as_mut().unwrap().seconds += seconds;
            event
        };
        let mut view = later(&step, 9);
        if let Some(Body::StepEnded(step)) = &mut view.event {
            step.view = -1;
        }
        let object = format!("{{\"a\":{json}}}");
        let observed = valid::run_observed(|run| run.metadata_json = Some(object));
        let dead = valid::step_ended(|step| {
            step.output_json = poison();
            step.details.as_mut().unwrap().input_json = Some(json.clone());
        });
        let earlier = later(&observed, -5);
        let steps = [step.clone(), step.clone(), later(&step, 5), view];
        backends.peak_mib();
        for event in steps.into_iter().chain([observed, earlier, dead]) {
            let outcome = daemon.submit(vec![event]).await;
            let refused = outcome.refused.first().map(Refusal::code);
            assert!(
                refused.is_none_or(|code| code == RefusalCode::DeadLettered),
                "{what}: {outcome:?}"
            );
        }
        let (peak, bytes) = (backends.peak_mib(), json.len());
        println!("{what}, {bytes} bytes: a server process held {peak} MiB");
        let most = BASE_MIB + MULTIPLE * bytes as u64 / MEGABYTE as u64;
        assert!(
            peak <= most,
            "{what}, {bytes} bytes: {peak} MiB, not {most}"
        );
    }
    backends.end().await;
    daemon.finish().await;
}
