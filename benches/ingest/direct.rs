//! The limit: the same rows, encoded beforehand, COPYed by plain connections.

use std::time::Instant;

use runtraced::event::{EventBody, Repairs, Timestamp};
use runtraced::ingest::native::decode_event;
use runtraced::store::Aliases;
use runtraced::store::copy::CopyBuffer;
use runtraced::store::rows::{STEPS, StepPart};
use sqlx::{Connection as _, PgConnection};

use crate::cpu::Cpu;
use crate::report::Sample;
use crate::workload::{Run, STEPS_PER_RUN};

const COPY_RUNS: &str = "COPY agent_runs (id, agent_id, agent_type, status, started_at, start_event_at, \
                         alive_at, last_event_at, abandon_at) FROM STDIN (FORMAT binary)";

/// What one transaction copies.
struct Copies {
    runs: Vec<u8>,
    steps: Vec<u8>,
}

pub async fn run(
    url: &str,
    runs: &[Run],
    connections: usize,
    rows: usize,
    postmaster: u32,
) -> Sample {
    let copies: Vec<Copies> = runs
        .chunks((rows / STEPS_PER_RUN).max(1))
        .map(encode)
        .collect();
    let events = runs.iter().map(|run| run.events.len()).sum();
    let mut lanes: Vec<Vec<Copies>> = (0..connections).map(|_| Vec::new()).collect();
    for (number, copy) in copies.into_iter().enumerate() {
        lanes[number % connections].push(copy);
    }
    let cpu = Cpu::now(postmaster, None);
    let begin = Instant::now();
    let tasks: Vec<_> = lanes
        .into_iter()
        .map(|lane| tokio::spawn(copy(url.to_owned(), lane)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    Sample::new(events, begin.elapsed(), cpu.until_now(), Vec::new())
}

async fn copy(url: String, lane: Vec<Copies>) {
    let mut conn = PgConnection::connect(&url).await.unwrap();
    for copies in lane {
        let mut tx = conn.begin().await.unwrap();
        for (statement, rows) in [(COPY_RUNS, copies.runs), (STEPS.copy, copies.steps)] {
            let mut copy = tx.copy_in_raw(statement).await.unwrap();
            copy.send(rows).await.unwrap();
            copy.finish().await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

fn encode(chunk: &[Run]) -> Copies {
    let (mut runs, mut steps) = (CopyBuffer::default(), CopyBuffer::default());
    let later = Timestamp::from_unix(1_900_000_000, 0).unwrap();
    for event in chunk.iter().flat_map(|run| &run.events) {
        let event = decode_event(event.clone(), &mut Repairs::default()).unwrap();
        let time = Some(event.time);
        match &event.body {
            EventBody::RunStarted(run) => {
                runs.row(9)
                    .uuid(Some(run.run_id))
                    .text(Some(&run.agent_id))
                    .text(Some(&run.agent_type))
                    .text(Some("running"))
                    .timestamp(time)
                    .timestamp(time)
                    .timestamp(time)
                    .timestamp(time)
                    .timestamp(Some(later));
            }
            EventBody::StepEnded(step) => {
                StepPart {
                    start: None,
                    end: Some((event.time, step)),
                }
                .encode(&mut steps, None, &Aliases::default());
            }
            other => panic!("not in this workload: {other:?}"),
        }
    }
    Copies {
        runs: runs.finish(),
        steps: steps.finish(),
    }
}
