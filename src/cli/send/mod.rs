//! `runtraced send`: events from a file, one a line, to a daemon.

mod lines;
mod progress;
mod report;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufRead, BufReader},
    time::timeout,
};

use super::endpoint::EndpointArgs;
use crate::console::output::{self, EXIT_NO_INPUT, EXIT_REFUSED, EXIT_UNAVAILABLE};
use crate::{
    client::{Client, ClientError, RetryPolicy, StreamOptions, StreamSender, Totals},
    json_mapping::event_from_json,
    proto::Event,
};
use lines::{Line, Lines};
use progress::Progress;
use report::{BatchLines, Malformed};

/// A batch also goes when its lines have so many bytes.
const BATCH_BYTES: usize = 1024 * 1024;
/// A batch also goes when the input pauses for so long.
const IDLE: Duration = Duration::from_millis(100);
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// Send events from a file, one JSON object a line.
///
/// The JSON is that of runtraced.v1.Event (proto/runtraced/v1/event.proto);
/// ids are UUID text, `…_json` fields may hold plain JSON. Blank lines are
/// skipped. Sending a file again is harmless.
///
/// Exit codes: 0 all accepted or there already, 1 some lines were refused,
/// 64 wrong use, 66 the file cannot be read, 69 the daemon could not be
/// reached or did not take everything.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SendArgs {
    /// The file; `-` for stdin.
    pub file: std::path::PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields say
    pub daemon: EndpointArgs,
    /// Events per batch.
    #[arg(long, env = "RUNTRACED_SEND_BATCH_EVENTS", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_events: u32,
    /// Batches that may wait for their acknowledgement at a time.
    #[arg(long, env = "RUNTRACED_SEND_IN_FLIGHT", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: u32,
    /// Longer lines are refused, in bytes.
    #[arg(long, env = "RUNTRACED_SEND_MAX_LINE_BYTES", default_value_t = 32 * 1024 * 1024,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_line_bytes: u32,
    /// How many refused lines are shown; the rest are counted.
    #[arg(long, env = "RUNTRACED_SEND_MAX_REFUSED_SHOWN", default_value_t = 20)]
    pub max_refused_shown: u32,
    /// Give up when nothing succeeded for so many seconds.
    #[arg(long, env = "RUNTRACED_SEND_GIVE_UP_AFTER", default_value_t = 30,
          value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub give_up_after: u64,
}

/// Runs the command.
///
/// # Errors
/// When stdout fails or the input breaks off.
pub async fn run(args: SendArgs) -> anyhow::Result<ExitCode> {
    if args.file == Path::new("-") {
        let input = BufReader::with_capacity(READ_BUFFER_BYTES, tokio::io::stdin());
        return send(&args, input, None).await;
    }
    let opened = async {
        let file = tokio::fs::File::open(&args.file).await?;
        let metadata = file.metadata().await?;
        Ok::<_, std::io::Error>((file, metadata.len()))
    };
    match opened.await {
        Ok((file, len)) => {
            let input = BufReader::with_capacity(READ_BUFFER_BYTES, file);
            send(&args, input, Some(len)).await
        }
        Err(error) => {
            let file = args.file.display();
            Ok(output::fail(EXIT_NO_INPUT, format_args!("{file}: {error}")))
        }
    }
}

async fn send(
    args: &SendArgs,
    input: impl AsyncBufRead + Unpin,
    len: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let retry = RetryPolicy {
        give_up_after: Duration::from_secs(args.give_up_after),
        ..RetryPolicy::default()
    };
    let client = match args.daemon.connect(retry).await {
        Ok(client) => client,
        Err(error) => return Ok(output::fail(error.exit_code(), error)),
    };
    let progress = Progress::new(len);
    let mut sending = Sending::new(args, &client, &progress);
    let read = sending.all(input, &progress).await;
    let malformed = sending.malformed;
    let finished = sending.sender.finish().await;
    progress.clear();
    let (totals, undelivered) = match finished {
        Ok(totals) => (totals, None),
        Err(error) => (error.settled.clone(), Some(error)),
    };
    let shown = args.max_refused_shown as usize;
    output::print(&report::summary(&totals, &malformed, shown))?;
    if let Some(error) = undelivered {
        let lost = error.unsettled_events;
        let message = format_args!("{error}; {lost} events on their way were not acknowledged");
        return Ok(output::fail(EXIT_UNAVAILABLE, message));
    }
    if let Err(error) = read {
        return Ok(output::fail(EXIT_NO_INPUT, format_args!("{error:#}")));
    }
    Ok(exit_code(&totals, &malformed))
}

fn exit_code(totals: &Totals<BatchLines>, malformed: &Malformed) -> ExitCode {
    if totals.refused_count + malformed.count == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    }
}

/// Lines on their way to become batches.
struct Sending {
    sender: StreamSender<BatchLines>,
    max_events: usize,
    max_line_bytes: usize,
    max_shown: usize,
    events: Vec<Event>,
    numbers: Vec<u64>,
    bytes: usize,
    malformed: Malformed,
}

impl Sending {
    fn new(args: &SendArgs, client: &Client, progress: &Progress) -> Self {
        let max_shown = args.max_refused_shown as usize;
        let options = StreamOptions {
            max_batches_in_flight: args.in_flight,
            max_refused_kept: max_shown,
            ..StreamOptions::default()
        };
        let progress = progress.clone();
        let sender = client.stream_observed(options, move |batch| progress.settled(batch.events));
        Self {
            sender,
            max_events: args.batch_events as usize,
            max_line_bytes: args.max_line_bytes as usize,
            max_shown,
            events: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
            malformed: Malformed::default(),
        }
    }

    /// Reads to the end, or until delivery is given up, which `finish` tells.
    async fn all(
        &mut self,
        input: impl AsyncBufRead + Unpin,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let mut lines = Lines::new(input, self.max_line_bytes);
        loop {
            let next = match timeout(IDLE, lines.next()).await {
                Ok(line) => line,
                Err(_) => {
                    if self.flush().await.is_err() {
                        return Ok(());
                    }
                    lines.next().await
                }
            };
            let Some(line) = next.context("the input broke off")? else {
                let _ = self.flush().await;
                return Ok(());
            };
            self.take(line);
            progress.read(lines.bytes_read());
            let full = self.events.len() >= self.max_events || self.bytes >= BATCH_BYTES;
            if full && self.flush().await.is_err() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, line: Line) {
        let event = line.text.and_then(|text| {
            if text.trim().is_empty() {
                return Ok(None);
            }
            self.bytes += text.len();
            match event_from_json(&text) {
                Ok(event) => Ok(Some(event)),
                Err(error) => Err(format!("column {}: {}", error.column, error.reason)),
            }
        });
        match event {
            Ok(None) => {}
            Ok(Some(event)) => {
                self.events.push(event);
                self.numbers.push(line.number);
            }
            Err(reason) => self.malformed.add(self.max_shown, line.number, reason),
        }
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        self.bytes = 0;
        if self.events.is_empty() {
            return Ok(());
        }
        let numbers = BatchLines::from(std::mem::take(&mut self.numbers));
        self.sender
            .send(std::mem::take(&mut self.events), numbers)
            .await
    }
}
