//! `runtraced doctor`: whether a daemon with these flags would run well.

use std::process::ExitCode;

use anyhow::Context as _;

use super::failure;
use super::output::{self, Colour, EXIT_FAILED};
use crate::config::ServeArgs;
use crate::doctor::{self, Finding, Severity};

/// Check the settings, the database, the spool, TLS and masking of a daemon, and say what to do.
///
/// Takes the flags and variables of `runtraced serve`. It changes nothing, and may run while
/// a daemon does.
///
/// Exit codes: 0 no failure, 1 a failure, 64 invalid settings.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DoctorArgs {
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub serve: Box<ServeArgs>,
}

/// Makes all checks and prints what they found.
///
/// # Errors
/// If a setting is invalid, or stdout fails.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = args.serve.config()?;
    let findings = doctor::examine(&config, |error| failure::explain(error)).await;
    let text = match args.json {
        true => serde_json::to_string_pretty(&findings).context("cannot print")? + "\n",
        false => table(&findings),
    };
    output::print(&text)?;
    let failed = findings
        .iter()
        .any(|finding| finding.severity == Severity::Failure);
    Ok(match failed {
        true => ExitCode::from(EXIT_FAILED),
        false => ExitCode::SUCCESS,
    })
}

/// One line a finding, and what to do below it.
fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let name = format!("{:<7}", finding.severity.name());
        let name = match finding.severity {
            Severity::Ok => output::paint(Colour::Green, &name),
            Severity::Warning => output::paint(Colour::Yellow, &name),
            Severity::Failure => output::paint(Colour::Red, &name),
        };
        text += &format!("{name}  {:<width$}  {}\n", finding.check, finding.found);
        if !finding.advice.is_empty() {
            text += &format!("{:<7}  {:<width$}  → {}\n", "", "", finding.advice);
        }
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let several = |count: usize, name: &str| match count {
        1 => format!("1 {name}"),
        _ => format!("{count} {name}s"),
    };
    let counts = [
        several(findings.len(), "check"),
        several(count(Severity::Warning), "warning"),
        several(count(Severity::Failure), "failure"),
    ];
    text + &counts.join(", ") + "\n"
}
