//! `runtraced status`: what is where, as the daemon's metrics and the ledger say.

use std::{collections::HashMap, fmt::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    database::DatabaseArgs,
    endpoint::ClientTlsArgs,
    output::{self, EXIT_REFUSED, EXIT_UNAVAILABLE, thousands},
};
use crate::query::{self, LedgerSum};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the database may take: it may well be away.
const DATABASE_PATIENCE: Duration = Duration::from_secs(3);
/// What became of events, in the order of the equation.
const OUTCOMES: [&str; 6] = [
    "committed",
    "duplicate",
    "refused",
    "spooled",
    "dead_lettered",
    "ignored",
];

/// Show what a daemon has received and where it is now.
///
/// Exit codes: 0 all is well, 1 somebody should look, 69 the daemon does not
/// answer, or the ledger cannot be read from the database.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// The daemon's HTTP address; with TLS, https://HOST:PORT.
    #[arg(
        long,
        env = "RUNTRACED_HTTP",
        default_value = "127.0.0.1:4318",
        value_name = "ADDR"
    )]
    pub http: String,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields say
    pub tls: ClientTlsArgs,
    /// The database with the ledger.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Runs the command.
///
/// # Errors
/// When stdout fails.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let pages = async {
        let door = HttpDoor::new(&args)?;
        let ready = door.get("/readyz").await?.1;
        let (code, metrics) = door.get("/metrics").await?;
        if code != 200 {
            bail!("no metrics at {}", args.http);
        }
        anyhow::Ok((ready, metrics))
    };
    let (ready, metrics) = match pages.await {
        Ok(pages) => pages,
        Err(error) => return Ok(output::fail(EXIT_UNAVAILABLE, format_args!("{error:#}"))),
    };
    let metrics = parse(&metrics);
    let ledger = timeout(DATABASE_PATIENCE, async {
        let mut connection = args.database.connect().await?;
        anyhow::Ok(query::ledger_sum(&mut connection).await?)
    });
    let ledger = match ledger.await {
        Ok(Ok(ledger)) => Ok(ledger),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("it does not answer".to_owned()),
    };
    output::print(&report(ready.trim(), &metrics, &ledger))?;
    let value = |name: &str| metrics.get(name).copied().unwrap_or_default();
    let well = value("runtraced_ready") == 1
        && value("runtraced_spool_quarantined_files") == 0
        && value("runtraced_spool_refusing") == 0;
    Ok(match (well, ledger) {
        (false, _) => ExitCode::from(EXIT_REFUSED),
        (true, Err(_)) => ExitCode::from(EXIT_UNAVAILABLE),
        (true, Ok(_)) => ExitCode::SUCCESS,
    })
}

fn report(
    ready: &str,
    metrics: &HashMap<String, u64>,
    ledger: &Result<LedgerSum, String>,
) -> String {
    let value = |name: &str| metrics.get(name).copied().unwrap_or_default();
    let number = |value: u64| thousands(i64::try_from(value).unwrap_or(i64::MAX));
    let settled = OUTCOMES.map(|outcome| {
        value(&format!(
            "runtraced_events_settled_total{{outcome=\"{outcome}\"}}"
        ))
    });
    let received = value("runtraced_events_received_total");
    let in_flight = received.saturating_sub(settled.iter().sum());
    let mut lines = vec![("daemon", ready.to_owned())];
    lines.push(("received", number(received)));
    for (outcome, count) in OUTCOMES.into_iter().zip(settled) {
        lines.push((outcome, number(count)));
    }
    lines.push(("in flight", number(in_flight)));
    lines.push((
        "memory",
        format!(
            "{} of {} bytes",
            number(value("runtraced_memory_used_bytes")),
            number(value("runtraced_memory_budget_bytes"))
        ),
    ));
    lines.push(("spool", spool(metrics, &number)));
    match ledger {
        Ok(sum) => {
            lines.push((
                "ledger",
                format!("{} daemons so far", thousands(sum.daemons)),
            ));
            lines.push((
                "",
                format!(
                    "{} received = {} committed + {} duplicate + {} refused + {} spooled + {} dead-lettered + {} ignored + {} in flight",
                    thousands(sum.received),
                    thousands(sum.committed),
                    thousands(sum.duplicate),
                    thousands(sum.refused),
                    thousands(sum.spooled),
                    thousands(sum.dead_lettered),
                    thousands(sum.ignored),
                    thousands(sum.in_flight)
                ),
            ));
            lines.push((
                "dead letters",
                format!("{} not replayed", thousands(sum.open_dead_letters)),
            ));
        }
        Err(why) => lines.push(("ledger", format!("the database: {why}"))),
    }
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<14}{value}");
    }
    text
}

fn spool(metrics: &HashMap<String, u64>, number: &impl Fn(u64) -> String) -> String {
    let value = |name: &str| metrics.get(name).copied().unwrap_or_default();
    let Some(budget) = metrics.get("runtraced_spool_budget_bytes") else {
        return "none: events wait for the database".to_owned();
    };
    let mut text = format!(
        "{} of {} bytes in {} files",
        number(value("runtraced_spool_used_bytes")),
        number(*budget),
        number(value("runtraced_spool_files"))
    );
    for (name, said) in [
        ("runtraced_spooling", "the database is away, events go here"),
        ("runtraced_spool_refusing", "FULL or its disk fails"),
        (
            "runtraced_spool_quarantined_files",
            "DAMAGED files put aside",
        ),
    ] {
        if value(name) > 0 {
            let _ = write!(text, "; {said}");
        }
    }
    text
}

/// The daemon's HTTP port.
struct HttpDoor<'a> {
    address: &'a str,
    tls: Option<TlsConnector>,
}

impl<'a> HttpDoor<'a> {
    fn new(args: &'a StatusArgs) -> anyhow::Result<Self> {
        let http = args.http.trim_end_matches('/');
        Ok(match http.strip_prefix("https://") {
            Some(address) => Self {
                address,
                tls: Some(args.tls.connector()?),
            },
            None => Self {
                address: http.trim_start_matches("http://"),
                tls: None,
            },
        })
    }

    /// One page over HTTP/1.1, without a client of its own.
    async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let address = self.address;
        let page = timeout(PATIENCE, async {
            let socket = TcpStream::connect(address).await?;
            match &self.tls {
                None => exchange(socket, address, path).await,
                Some(tls) => {
                    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                    let host = host.trim_matches(['[', ']']).to_owned();
                    let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
                    exchange(tls.connect(name, socket).await?, address, path).await
                }
            }
        });
        let answer = page
            .await
            .with_context(|| format!("the daemon at {address} does not answer"))?
            .with_context(|| format!("no daemon answers at {address}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((code.context("no HTTP")?, body.to_owned()))
    }
}

async fn exchange(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    address: &str,
    path: &str,
) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Metrics by name and labels.
fn parse(text: &str) -> HashMap<String, u64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}
