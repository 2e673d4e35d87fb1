//! `runtraced tls`: makes certificates for a daemon and its clients.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use rustls::pki_types::ServerName;

use super::output;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::listen::{IssuedFiles, MAX_CERT_DAYS, issue_certificate};

/// Make certificates for a daemon with TLS.
#[derive(Debug, Clone, clap::Args)]
pub struct TlsCommandArgs {
    #[command(subcommand)]
    command: TlsCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum TlsCommand {
    /// Make a certificate authority of your own, and a certificate that it signs.
    ///
    /// Clients trust the authority's certificate, ca.pem. Run the command again to renew the
    /// daemon's certificate: the authority stays, and a running daemon takes the new files.
    SelfSigned(SelfSignedArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct SelfSignedArgs {
    /// Folder of the files; it is created if needed.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name or address by which clients reach the daemon. Repeat it for each one.
    #[arg(long, value_name = "HOST", required = true)]
    name: Vec<FlagValue>,
    /// Days for which the daemon's certificate is valid.
    #[arg(long, default_value = "397", value_name = "N")]
    days: FlagValue,
}

impl TlsCommandArgs {
    /// The names and the days.
    pub(super) fn request(&self) -> Result<(Vec<String>, u32), Faults> {
        let TlsCommand::SelfSigned(args) = &self.command;
        let mut flags = FlagReader::default();
        for name in &args.name {
            if !is_host_name(name.text()) {
                flags.fault(format!(
                    "--name {name} is not a host name or an address; write it without scheme and port"
                ));
            }
        }
        let days = flags.integer(&args.days, 1..=MAX_CERT_DAYS);
        let names = args.name.iter().map(|name| name.text().to_owned());
        flags.finish((names.collect(), days))
    }
}

/// Whether a certificate can be for it. A wildcard stands for the first label only.
fn is_host_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    ServerName::try_from(rest).is_ok()
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, or a file cannot be written.
pub fn run(args: &TlsCommandArgs) -> anyhow::Result<ExitCode> {
    let (names, days) = args.request()?;
    let TlsCommand::SelfSigned(args) = &args.command;
    let files = issue_certificate(&args.dir, &names, days)?;
    output::print(&told(&files, &names, days))?;
    Ok(ExitCode::SUCCESS)
}

fn told(files: &IssuedFiles, names: &[String], days: u32) -> String {
    let (ca, cert, key) = (
        files.authority.display(),
        files.cert.display(),
        files.key.display(),
    );
    let authority = match files.new_authority {
        true => format!("{ca} is a new authority; copy it to the clients"),
        false => format!("{ca} is the authority, as before"),
    };
    let name = names.first().map_or("localhost", String::as_str);
    let host = match name.contains(':') {
        true => format!("[{name}]"),
        false => name.to_owned(),
    };
    format!(
        "{authority}\n{cert} is for {}, for {days} days\n\n\
         daemon:  runtraced serve --tls-cert {cert} --tls-key {key}\n\
         clients: runtraced send events.jsonl --endpoint https://{host}:4317 --ca {ca}\n\
         OTLP:    export OTEL_EXPORTER_OTLP_ENDPOINT=https://{host}:4318 OTEL_EXPORTER_OTLP_CERTIFICATE={ca}\n",
        names.join(", ")
    )
}
