//! A client that means harm, beside the honest ones.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event, RunObserved, StepType, SubmitRequest};
use uuid::Uuid;

use crate::support::events::{
    ended_with, event, id, new_id, run_ended, step, step_started, tokens,
};
use crate::support::product::poison;
use crate::support::wire::{channel, submit_bytes};

/// Batches that are on their way at the same time.
const AT_ONCE: usize = 4;

/// What it sends.
#[derive(Clone, Copy, Debug)]
pub enum Mischief {
    /// Numbers of nine bytes with 131,072 digits.
    Numbers,
    /// Events against a rule of the product, among good ones.
    BadData,
    /// Nothing but such events.
    NothingElse,
    /// Very many things about few ids.
    RepeatedIds,
    /// Very many events of one run.
    OneRun,
    /// Small ends of a run that has very many open steps.
    LargeRun,
    /// Calls that are each other's parents, and many below one long way up.
    Circles,
    /// Long metadata of a run, and many short ones.
    Metadata,
    /// JSON of nothing but punctuation, and bytes that are no message.
    Bombs,
}

impl Mischief {
    pub const ALL: [Self; 9] = [
        Self::Numbers,
        Self::BadData,
        Self::NothingElse,
        Self::RepeatedIds,
        Self::OneRun,
        Self::LargeRun,
        Self::Circles,
        Self::Metadata,
        Self::Bombs,
    ];
}

pub struct Hostile {
    /// Its runs; it writes to no others.
    pub runs: Vec<Uuid>,
}

/// Calls in pairs that are each other's parents, a chain of other work, calls below it, and the
/// end of their root.
fn circles(run: Uuid) -> Vec<Event> {
    let ids: Vec<Uuid> = (0..4_000).map(|_| new_id()).collect();
    let below = |n: usize, parent: usize, kind: StepType| {
        let mut event = step(1, 2, run, ids[n]);
        if let Some(Body::StepEnded(step)) = &mut event.event {
            let details = step.details.as_mut().unwrap();
            details.step_type = kind.into();
            details.parent_step_id = id(ids[parent]);
            details.parent_may_be_alias = true;
        }
        event
    };
    let pairs = (0..1_000).map(|n| below(n, n ^ 1, StepType::LlmCall));
    let chain = (1_000..2_000).map(|n| below(n, n + 1, StepType::Other));
    let calls = (2_000..4_000).map(|n| below(n, 1_000, StepType::ToolCall));
    let end = ended_with(run_ended(9, run, EndStatus::Completed), |end| {
        end.from_root_span = true;
    });
    pairs.chain(chain).chain(calls).chain([end]).collect()
}

/// What a part of a run tells: the first one much.
fn told(run: Uuid, n: i64) -> Event {
    let long = || (0..7_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>();
    let metadata = match n {
        0 => long().join(","),
        n => format!("\"a\":{n}"),
    };
    let observed = RunObserved {
        run_id: id(run),
        metadata_json: Some(format!("{{{metadata}}}")),
        ..Default::default()
    };
    event(n, Body::RunObserved(observed))
}

impl Hostile {
    pub fn new() -> Self {
        Self {
            runs: (0..8).map(|_| new_id()).collect(),
        }
    }

    /// Sends one batch after the other for so long, however it is answered.
    pub async fn act(&self, url: &str, mischief: Mischief, pause: Duration) {
        let end = Instant::now() + pause.max(Duration::from_millis(500));
        let mut senders = Vec::new();
        for number in 0..AT_ONCE {
            let channel = channel(url).await;
            let message = self.message(mischief, number);
            senders.push(tokio::spawn(async move {
                while Instant::now() < end {
                    let sent = submit_bytes(channel.clone(), message.clone());
                    // It does not wait for what takes long, and tells nobody.
                    let _ = tokio::time::timeout_at(end.into(), sent).await;
                }
            }));
        }
        for sender in senders {
            sender.await.unwrap();
        }
    }

    fn message(&self, mischief: Mischief, number: usize) -> Bytes {
        let run = |n: i64| self.runs[usize::try_from(n).unwrap() % self.runs.len()];
        let output = |json: &str| {
            let mut event = step(1, 2, run(0), new_id());
            if let Some(Body::StepEnded(step)) = &mut event.event {
                step.output_json = Some(json.to_owned());
            }
            event
        };
        let good = |n: i64| step(n, n + 1, run(n), new_id());
        let bad = |_| output(&poison().unwrap());
        let (one, other) = (new_id(), new_id());
        let events: Vec<Event> = match mischief {
            Mischief::Numbers => {
                let json = format!("[{}1]", "1e131071,".repeat(1_000));
                (0..60).map(|_| output(&json)).collect()
            }
            Mischief::BadData => (0..500)
                .map(|n| if n % 3 == 0 { bad(n) } else { good(n) })
                .collect(),
            Mischief::NothingElse => (0..250).map(bad).collect(),
            Mischief::RepeatedIds => (0..2_000)
                .map(|n| match n % 2 {
                    0 => tokens(n, run(0), one, n, 1),
                    _ => step(n, n + 1, run(0), other),
                })
                .collect(),
            Mischief::OneRun => (0..5_000)
                .map(|n| step(n, n + 1, run(1), new_id()))
                .collect(),
            Mischief::LargeRun if number == 0 => (0..10_000)
                .map(|n| step_started(n, run(2), new_id()))
                .collect(),
            Mischief::LargeRun => {
                vec![run_ended(
                    rand::random_range(0..1_000_000),
                    run(2),
                    EndStatus::Completed,
                )]
            }
            Mischief::Circles => circles(run(3)),
            Mischief::Metadata => (0..5_000).map(|n| told(run(4), n)).collect(),
            Mischief::Bombs if number == 0 => {
                return Bytes::from_static(b"\x0a\xff\xff\xff\xff\x0f no message");
            }
            Mischief::Bombs => {
                let json = format!("[{}1]", "{},".repeat(150_000));
                (0..4).map(|_| output(&json)).collect()
            }
        };
        let request = SubmitRequest {
            events,
            ..Default::default()
        };
        request.encode_to_vec().into()
    }
}
