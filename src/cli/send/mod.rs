//! `runtraced send`: sends events from a file, one a line, to a daemon.

mod lines;
mod progress;
mod report;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufRead, BufReader},
    time::timeout,
};

use super::endpoint::{EndpointArgs, EndpointError};
use super::failure;
use super::output::{self, EXIT_NO_INPUT, EXIT_REFUSED, EXIT_UNAVAILABLE};
use crate::{
    client::{Client, ClientError, RetryPolicy, StreamOptions, StreamSender, Totals},
    config::{Faults, FlagReader, FlagValue, UNITS_HELP},
    json_mapping::event_from_line,
    proto::Event,
};
use lines::{InputLine, InputLines};
use progress::SendProgress;
use report::{BatchLines, MalformedLines};

/// A batch is also sent when its lines have this many bytes, which is far below the limit
/// of a message.
const BATCH_BYTES: usize = 1024 * 1024;
/// A batch is also sent when the input pauses for this long: somebody may be watching.
const IDLE: Duration = Duration::from_millis(100);
/// Larger reads are not faster.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Limits of the flags; higher values are typing mistakes.
const MAX_BATCH_EVENTS: usize = 100_000;
const MAX_IN_FLIGHT: u32 = 10_000;
const MAX_LINE_BYTES: u64 = u32::MAX as u64;

/// Send events from a file, one JSON object a line.
///
/// The JSON is that of runtraced.v1.Event (proto/runtraced/v1/event.proto). Ids are
/// UUID text; `…_json` fields may hold plain JSON. Blank lines are skipped. Sending a
/// file again is harmless.
///
/// Exit codes: 0 all lines were accepted or known already, 1 some lines were refused,
/// 64 wrong flags, 66 the file cannot be read, 69 the daemon did not answer or did not
/// accept everything.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment, after_help = UNITS_HELP)]
pub struct SendArgs {
    /// File to send; `-` for stdin.
    pub file: std::path::PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub daemon: EndpointArgs,
    /// Events per batch.
    #[arg(
        long,
        env = "RUNTRACED_SEND_BATCH_EVENTS",
        default_value = "500",
        value_name = "N"
    )]
    pub batch_events: FlagValue,
    /// Batches that may wait for their acks at a time.
    #[arg(
        long,
        env = "RUNTRACED_SEND_IN_FLIGHT",
        default_value = "32",
        value_name = "N"
    )]
    pub in_flight: FlagValue,
    /// Largest line. Longer lines are refused.
    #[arg(
        long,
        env = "RUNTRACED_SEND_MAX_LINE_BYTES",
        default_value = "32MiB",
        value_name = "SIZE"
    )]
    pub max_line_bytes: FlagValue,
    /// Most refused lines to show. The rest are counted.
    #[arg(
        long,
        env = "RUNTRACED_SEND_MAX_REFUSED_SHOWN",
        default_value = "20",
        value_name = "N"
    )]
    pub max_refused_shown: FlagValue,
    /// Time without success after which the command gives up.
    #[arg(
        long,
        env = "RUNTRACED_SEND_GIVE_UP_AFTER",
        default_value = "30s",
        value_name = "DURATION"
    )]
    pub give_up_after: FlagValue,
}

/// The parsed flags.
pub(super) struct SendSettings {
    batch_events: usize,
    in_flight: u32,
    max_line_bytes: usize,
    max_refused_shown: usize,
    give_up_after: Duration,
}

impl SendArgs {
    pub(super) fn settings(&self) -> Result<SendSettings, Faults> {
        let mut flags = FlagReader::default();
        self.daemon.check(&mut flags);
        let settings = SendSettings {
            batch_events: flags.integer(&self.batch_events, 1..=MAX_BATCH_EVENTS),
            in_flight: flags.integer(&self.in_flight, 1..=MAX_IN_FLIGHT),
            max_line_bytes: flags.memory_size(&self.max_line_bytes, 1..=MAX_LINE_BYTES),
            max_refused_shown: flags.integer(&self.max_refused_shown, 0..=usize::MAX),
            give_up_after: flags.duration(&self.give_up_after, Duration::from_secs(1)),
        };
        flags.finish(settings)
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the daemon does not answer, stdout fails or the input breaks off.
pub async fn run(args: SendArgs) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    if args.file == Path::new("-") {
        let input = BufReader::with_capacity(READ_BUFFER_BYTES, tokio::io::stdin());
        return send(&args.daemon, &settings, input, None).await;
    }
    let opened = async {
        let file = tokio::fs::File::open(&args.file).await?;
        let metadata = file.metadata().await?;
        if metadata.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        Ok::<_, std::io::Error>((file, metadata.len()))
    };
    match opened.await {
        Ok((file, len)) => {
            let input = BufReader::with_capacity(READ_BUFFER_BYTES, file);
            send(&args.daemon, &settings, input, Some(len)).await
        }
        Err(error) => {
            let (file, cause) = (args.file.display(), failure::explain(&error));
            Ok(output::fail(
                EXIT_NO_INPUT,
                format_args!("cannot read {file}: {cause}"),
            ))
        }
    }
}

async fn send(
    daemon: &EndpointArgs,
    settings: &SendSettings,
    input: impl AsyncBufRead + Unpin,
    len: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let retry = RetryPolicy {
        give_up_after: settings.give_up_after,
        ..RetryPolicy::default()
    };
    let client = daemon.connect(retry).await?;
    let progress = SendProgress::new(len);
    let mut sending = LineSender::new(settings, &client, &progress);
    let read = sending.all(input, &progress).await;
    let malformed = sending.malformed;
    let finished = sending.sender.finish().await;
    progress.clear();
    let (totals, undelivered) = match finished {
        Ok(totals) => (totals, None),
        Err(error) => (error.settled.clone(), Some(error)),
    };
    output::print(&report::summary(
        &totals,
        &malformed,
        settings.max_refused_shown,
    ))?;
    if let Some(error) = undelivered {
        return Ok(output::fail(
            EXIT_UNAVAILABLE,
            not_delivered(&daemon.error(&error.source), error.unsettled_events),
        ));
    }
    if let Err(error) = read {
        let text = failure::explain(error.as_ref());
        return Ok(output::fail(EXIT_NO_INPUT, text));
    }
    Ok(exit_code(&totals, &malformed))
}

fn not_delivered(error: &EndpointError, unsettled: u64) -> String {
    let events = match unsettled {
        1 => "1 event was".to_owned(),
        events => format!("{} events were", super::count(events)),
    };
    format!("{error}; {events} sent and not acknowledged: send the file again, which is harmless")
}

fn exit_code(totals: &Totals<BatchLines>, malformed: &MalformedLines) -> ExitCode {
    if totals.refused_count + malformed.count == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    }
}

/// Makes batches of lines and sends them.
struct LineSender {
    sender: StreamSender<BatchLines>,
    max_events: usize,
    max_line_bytes: usize,
    max_shown: usize,
    events: Vec<Event>,
    numbers: Vec<u64>,
    bytes: usize,
    malformed: MalformedLines,
}

impl LineSender {
    fn new(settings: &SendSettings, client: &Client, progress: &SendProgress) -> Self {
        let max_shown = settings.max_refused_shown;
        let options = StreamOptions {
            max_batches_in_flight: settings.in_flight,
            max_refused_kept: max_shown,
            ..StreamOptions::default()
        };
        let progress = progress.clone();
        let sender = client.stream_observed(options, move |batch| progress.settled(batch.events));
        Self {
            sender,
            max_events: settings.batch_events,
            max_line_bytes: settings.max_line_bytes,
            max_shown,
            events: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
            malformed: MalformedLines::default(),
        }
    }

    /// Reads to the end, or until the client gives up; `finish` then says why.
    async fn all(
        &mut self,
        input: impl AsyncBufRead + Unpin,
        progress: &SendProgress,
    ) -> anyhow::Result<()> {
        let mut lines = InputLines::new(input, self.max_line_bytes);
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
            let Some(line) = next.context("cannot read the input to its end")? else {
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

    fn take(&mut self, line: InputLine) {
        let event = line.text.and_then(|text| {
            if text.trim().is_empty() {
                return Ok(None);
            }
            self.bytes += text.len();
            match event_from_line(&text) {
                Ok(written) => Ok(Some(written.event)),
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
