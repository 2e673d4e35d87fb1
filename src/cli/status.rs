//! `runtraced status`: what a daemon received and where those events are now.

mod http;

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use tokio::time::timeout;

use super::{
    count,
    database::{DatabaseArgs, StoreConnection},
    endpoint::ClientTlsArgs,
    failure,
    output::{self, EXIT_REFUSED, EXIT_UNAVAILABLE, thousands},
};
use crate::{
    config::{Faults, FlagReader, FlagValue},
    query::{self, LedgerSum},
};
use http::{HttpAddress, HttpEndpoint};

/// How long the database may take. It is often away when somebody asks for the status.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(3);
/// The width of names, so that values stand in one column.
const NAME_COLUMNS: usize = 14;
/// Outcomes of events, in the order of the ledger's equation.
const OUTCOMES: [&str; 6] = [
    "committed",
    "duplicate",
    "refused",
    "spooled",
    "dead_lettered",
    "ignored",
];

/// Show what a daemon has received and where those events are now.
///
/// Exit codes: 0 all is well, 1 somebody should look, 69 the daemon does not answer,
/// or the ledger cannot be read from the database. With --ready: 0 the daemon is ready,
/// 1 it is not, 69 it does not answer.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// Address of the daemon's HTTP endpoint: HOST:PORT; with TLS, https://HOST:PORT.
    #[arg(
        long,
        env = "RUNTRACED_HTTP",
        default_value = "127.0.0.1:4318",
        value_name = "ADDR"
    )]
    pub http: FlagValue,
    /// Ask only whether the daemon is ready, as a health check does. Needs no database.
    #[arg(long)]
    pub ready: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub tls: ClientTlsArgs,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
}

impl StatusArgs {
    pub(super) fn daemon(&self) -> Result<HttpAddress, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        match HttpAddress::parse(self.http.text()) {
            Ok(address) => flags.finish(address),
            Err(fault) => {
                flags.fault(format!("{} {fault}", self.http.name()));
                flags.finish(HttpAddress::default())
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, a file cannot be read, or stdout fails.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let daemon = HttpEndpoint::new(args.daemon()?, &args.tls)?;
    if args.ready {
        return tell_readiness(&daemon).await;
    }
    let (ready, metrics) = match pages(&daemon, &args.http).await {
        Ok(pages) => pages,
        Err(error) => {
            let text = failure::explain(error.as_ref());
            return Ok(output::fail(EXIT_UNAVAILABLE, text));
        }
    };
    let ledger = timeout(DATABASE_TIMEOUT, async {
        let mut servers = args.database.connect_all().await?;
        ledger_of(&mut servers).await
    });
    let ledger = match ledger.await {
        Ok(Ok(ledger)) => Ok(ledger),
        Ok(Err(error)) => Err(failure::explain(error.as_ref())),
        Err(_) => Err("the database does not answer".to_owned()),
    };
    output::print(&report(ready.trim(), &metrics, &ledger))?;
    let well = metrics.value("runtraced_ready") == 1
        && metrics.value("runtraced_spool_quarantined_files") == 0
        && metrics.value("runtraced_spool_refusing") == 0
        && metrics.value("runtraced_spool_stalled") == 0
        && metrics.value("runtraced_spool_other_database") == 0;
    Ok(match (well, ledger) {
        (false, _) => ExitCode::from(EXIT_REFUSED),
        (true, Err(_)) => ExitCode::from(EXIT_UNAVAILABLE),
        (true, Ok(_)) => ExitCode::SUCCESS,
    })
}

/// The sums of the ledgers of all servers. What was written to several servers counts for each.
async fn ledger_of(servers: &mut [StoreConnection]) -> anyhow::Result<LedgerSum> {
    let mut sum = LedgerSum::default();
    let mut starts = HashSet::new();
    for server in servers {
        let ledger = query::ledger_sum(&mut server.conn).await;
        sum += ledger.map_err(|error| server.failed(error))?;
        if server.server.has_others() {
            let daemons = query::ledger_starts(&mut server.conn).await;
            starts.extend(daemons.map_err(|error| server.failed(error))?);
            sum.daemons = i64::try_from(starts.len())?;
        }
    }
    Ok(sum)
}

/// Prints what `/readyz` says, and nothing else.
async fn tell_readiness(daemon: &HttpEndpoint) -> anyhow::Result<ExitCode> {
    let (code, text) = match daemon.get("/readyz").await {
        Ok(page) => page,
        Err(error) => {
            let text = failure::explain(error.as_ref());
            return Ok(output::fail(EXIT_UNAVAILABLE, text));
        }
    };
    output::print(&text)?;
    Ok(match code {
        200 => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_REFUSED),
    })
}

/// What `/readyz` says, and the metrics.
async fn pages(daemon: &HttpEndpoint, http: &FlagValue) -> anyhow::Result<(String, MetricValues)> {
    let (_, ready) = daemon.get("/readyz").await?;
    let (code, metrics) = daemon.get("/metrics").await?;
    if code != 200 {
        bail!(
            "there are no metrics at {http} (HTTP status {code}); --http takes the address of \
             the daemon's HTTP endpoint (--http-listen), by default 127.0.0.1:4318"
        );
    }
    Ok((ready, MetricValues::parse(&metrics)))
}

fn report(ready: &str, metrics: &MetricValues, ledger: &Result<LedgerSum, String>) -> String {
    let settled = OUTCOMES.map(|outcome| {
        metrics.value(&format!(
            "runtraced_events_settled_total{{outcome=\"{outcome}\"}}"
        ))
    });
    let received = metrics.value("runtraced_events_received_total");
    let in_flight = received.saturating_sub(settled.iter().sum());
    let mut lines = vec![("daemon", ready.to_owned()), ("received", count(received))];
    for (outcome, events) in OUTCOMES.into_iter().zip(settled) {
        lines.push((outcome, count(events)));
    }
    lines.push(("in flight", count(in_flight)));
    lines.push((
        "memory",
        format!(
            "{} of {} bytes",
            count(metrics.value("runtraced_memory_used_bytes")),
            count(metrics.value("runtraced_memory_budget_bytes"))
        ),
    ));
    lines.push(("spool", spool(metrics)));
    match ledger {
        Ok(sum) => lines.extend(ledger_lines(sum)),
        Err(why) => lines.push(("ledger", format!("unknown: {why}"))),
    }
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<NAME_COLUMNS$}{value}");
    }
    text
}

fn ledger_lines(sum: &LedgerSum) -> [(&'static str, String); 3] {
    let equation = format!(
        "{} received = {} committed + {} duplicate + {} refused + {} spooled + {} dead-lettered \
         + {} ignored + {} in flight",
        thousands(sum.received),
        thousands(sum.committed),
        thousands(sum.duplicate),
        thousands(sum.refused),
        thousands(sum.spooled),
        thousands(sum.dead_lettered),
        thousands(sum.ignored),
        thousands(sum.in_flight)
    );
    [
        (
            "ledger",
            format!("daemon starts so far: {}", thousands(sum.daemons)),
        ),
        ("", equation),
        (
            "dead letters",
            format!("{} not replayed", thousands(sum.open_dead_letters)),
        ),
    ]
}

fn spool(metrics: &MetricValues) -> String {
    let Some(budget) = metrics.of_servers("runtraced_spool_budget_bytes") else {
        return "none: events wait for the database".to_owned();
    };
    let mut text = format!(
        "{} of {} bytes in {} files",
        count(metrics.value("runtraced_spool_used_bytes")),
        count(budget),
        count(metrics.value("runtraced_spool_files"))
    );
    for (name, note) in [
        (
            "runtraced_spooling",
            "the database is away, new events are spooled",
        ),
        (
            "runtraced_spool_refusing",
            "REFUSES events: it is full, its disk fails, or it belongs to another database",
        ),
        (
            "runtraced_spool_stalled",
            "STALLED: the database is there and commits none of its events",
        ),
        (
            "runtraced_spool_other_database",
            "OF ANOTHER DATABASE: not replayed",
        ),
        (
            "runtraced_spool_quarantined_files",
            "DAMAGED files are quarantined",
        ),
    ] {
        if metrics.value(name) > 0 {
            let _ = write!(text, "; {note}");
        }
    }
    text
}

/// Metrics by name and labels.
struct MetricValues(HashMap<String, u64>);

impl MetricValues {
    fn parse(text: &str) -> Self {
        let values = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Self(values.collect())
    }

    /// The sum over the servers of a store; 0 for a metric that the daemon does not have.
    fn value(&self, name: &str) -> u64 {
        self.of_servers(name).unwrap_or_default()
    }

    /// With several servers, each has a metric of the name, with a label.
    fn of_servers(&self, name: &str) -> Option<u64> {
        let of_server = format!("{name}{{server=\"");
        let is_asked = |key: &str| key == name || key.starts_with(&of_server);
        let values = self.0.iter().filter(|(key, _)| is_asked(key));
        values.map(|(_, value)| *value).reduce(|sum, one| sum + one)
    }
}
