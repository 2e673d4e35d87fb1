//! The way that is measured: a client streams to the daemon.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runtraced::client::{Client, RetryPolicy, StreamOptions};

use crate::cpu::Cpu;
use crate::report::Sample;
use crate::workload::Run;

const STREAMS: usize = 4;
const RUNS_PER_BATCH: usize = 10;

/// The daemon as a child, killed when dropped.
struct Daemon {
    child: Child,
    endpoint: String,
}

impl Daemon {
    fn start(url: &str, writers: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .args([
                "serve",
                "--grpc-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
            ])
            .args(["--writers", &writers.to_string()])
            .env("DATABASE_URL", url)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut endpoint, mut line) = (String::new(), String::new());
        while !line.contains("\"ready\"") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the daemon ended");
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            if let Some(address) = json["fields"]["grpc"].as_str() {
                endpoint = format!("http://{address}");
            }
        }
        std::thread::spawn(move || {
            log.lines()
                .for_each(|line| eprintln_line(&line.unwrap_or_default()))
        });
        Self { child, endpoint }
    }
}

fn eprintln_line(line: &str) {
    if line.contains("\"WARN\"") || line.contains("\"ERROR\"") {
        println!("{line}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn run(url: &str, runs: Vec<Run>, writers: usize, postmaster: u32) -> Sample {
    let daemon = Daemon::start(url, writers);
    let client = Client::connect(&daemon.endpoint, RetryPolicy::default())
        .await
        .unwrap();
    let mut lanes: Vec<Vec<_>> = (0..STREAMS).map(|_| Vec::new()).collect();
    let mut total = 0;
    let mut runs = runs.into_iter().peekable();
    for lane in (0..STREAMS).cycle() {
        if runs.peek().is_none() {
            break;
        }
        let batch: Vec<_> = runs
            .by_ref()
            .take(RUNS_PER_BATCH)
            .flat_map(|run| run.events)
            .collect();
        total += batch.len();
        lanes[lane].push(batch);
    }
    let waits: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let cpu = Cpu::now(postmaster, Some(daemon.child.id()));
    let begin = Instant::now();
    let tasks: Vec<_> = lanes
        .into_iter()
        .map(|lane| {
            let (client, waits) = (client.clone(), waits.clone());
            tokio::spawn(async move {
                let mut stream = client.stream_observed(StreamOptions::default(), move |settled| {
                    waits.lock().unwrap().push(settled.waited);
                });
                for batch in lane {
                    stream.send(batch, ()).await.unwrap();
                }
                let totals = stream.finish().await.unwrap();
                assert!(totals.refused.is_empty());
                totals.committed
            })
        })
        .collect();
    let mut committed = 0;
    for task in tasks {
        committed += task.await.unwrap();
    }
    let elapsed = begin.elapsed();
    assert_eq!(usize::try_from(committed).unwrap(), total);
    let waits = std::mem::take(&mut *waits.lock().unwrap());
    Sample::new(total, elapsed, cpu.until_now(), waits)
}
