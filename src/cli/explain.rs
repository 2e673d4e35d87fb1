//! `runtraced explain`: what the daemon makes of captured OTLP requests, without a daemon.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use super::output::{self, EXIT_NO_INPUT, EXIT_USAGE};
use crate::config::{Faults, FlagReader, read_dialects};
use crate::ingest::otlp::map::{ExplainedAttribute, ExplainedRow, ExplainedSpan, Explanation};
use crate::ingest::otlp::{MapOptions, explain_body};

/// Show what the daemon makes of captured OTLP requests, span by span.
///
/// For each attribute: the fact that it was taken for, the dialect that says so, and its preference
/// (the lowest wins); for each span: its kind of work, why, and the rows that it makes. Needs
/// no daemon and no database.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// Bodies of requests with spans or log records, as protobuf or JSON, also compressed
    /// with gzip or zstd; `-` for stdin.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Folder with dialect files, as for the daemon.
    #[arg(long, env = "RUNTRACED_OTLP_DIALECTS", value_name = "DIR")]
    pub otlp_dialects: Option<PathBuf>,
    /// Print one JSON object per file.
    #[arg(long)]
    pub json: bool,
}

impl ExplainArgs {
    /// The options of the mapping.
    ///
    /// # Errors
    /// If the dialects cannot be read.
    pub(super) fn options(&self) -> Result<MapOptions, Faults> {
        let mut flags = FlagReader::default();
        let dir = self.otlp_dialects.as_deref();
        let dir = dir.filter(|dir| !dir.as_os_str().is_empty());
        let mut options = MapOptions::default();
        match read_dialects(dir) {
            Ok(dialects) => options.dialects = dialects,
            Err(fault) => flags.fault(format!("--otlp-dialects {fault}")),
        }
        flags.finish(options)
    }
}

/// Runs the command.
///
/// # Errors
/// If stdout fails.
pub fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let options = match args.options() {
        Ok(options) => options,
        Err(faults) => return Ok(output::fail(EXIT_USAGE, faults)),
    };
    let several = args.files.len() > 1;
    for file in &args.files {
        let name = file.display();
        let body = match read(file) {
            Ok(body) => body,
            Err(error) => return Ok(output::fail(EXIT_NO_INPUT, format!("{name}: {error}"))),
        };
        let explanation = match explain_body(&body, &options) {
            Ok(explanation) => explanation,
            Err(error) => return Ok(output::fail(EXIT_NO_INPUT, format!("{name}: {error}"))),
        };
        let text = if args.json {
            format!("{}\n", serde_json::to_string(&explanation)?)
        } else if several {
            format!("== {name}\n{}", as_text(&explanation))
        } else {
            as_text(&explanation)
        };
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &PathBuf) -> io::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        io::stdin().lock().read_to_end(&mut body)?;
        return Ok(body);
    }
    fs::read(file)
}

fn as_text(explanation: &Explanation) -> String {
    let mut text = String::new();
    for span in &explanation.spans {
        add_span(&mut text, span);
    }
    for row in &explanation.rows {
        add_row(&mut text, "", row);
    }
    text
}

// Writing to a String cannot fail.
fn add_span(text: &mut String, span: &ExplainedSpan) {
    let kind = span.kind.as_ref();
    let kind = kind.map_or(String::new(), |kind| format!(" ({kind})"));
    let ExplainedSpan {
        name,
        scope,
        dialect,
        class,
        because,
        ..
    } = span;
    let _ = writeln!(
        text,
        "span {} \"{name}\", scope \"{scope}\", dialect {dialect}",
        span.span_id
    );
    let _ = writeln!(text, "  is {class}{kind}, because {because}");
    if span.not_understood {
        let _ = writeln!(
            text,
            "  NOT UNDERSTOOD: it looks like a model's or an agent's work"
        );
    }
    for attribute in &span.attributes {
        let _ = writeln!(text, "  {}", attribute_line(attribute));
    }
    for row in &span.rows {
        add_row(text, "  ", row);
    }
    text.push('\n');
}

fn attribute_line(attribute: &ExplainedAttribute) -> String {
    let ExplainedAttribute {
        key,
        value,
        fact,
        dialect,
        preference,
        instead,
    } = attribute;
    let Some(fact) = fact else {
        return format!("{key} = {value} -> not understood, kept in metadata");
    };
    let mut line = format!("{key} = {value} -> {fact}");
    if let Some(dialect) = dialect {
        let _ = write!(line, " ({dialect}");
        if let Some(preference) = preference {
            let _ = write!(line, ", preference {preference}");
        }
        line.push(')');
    }
    if let Some(instead) = instead {
        let _ = write!(line, ", but {instead} is preferred");
    }
    line
}

fn add_row(text: &mut String, indent: &str, row: &ExplainedRow) {
    let columns = row.columns.iter();
    let columns: Vec<_> = columns
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let _ = writeln!(text, "{indent}=> {}: {}", row.table, columns.join("; "));
}
