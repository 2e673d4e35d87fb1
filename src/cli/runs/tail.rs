//! `runtraced runs --tail`: a line for each run that appears or ends.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::super::database::StoreConnection;
use super::super::output::{self, duration, one_line, thousands};
use super::{LocalClock, listed};
use crate::query::{RunSearch, RunSummary};

/// How often the database is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Runs whose state is remembered, at most: those of the latest list, several times over.
const REMEMBERED: usize = 10_000;

/// Prints the runs of a list, the oldest first, and then what changes.
///
/// # Errors
/// If the database cannot be read or stdout fails.
pub(super) async fn follow(
    servers: &mut [StoreConnection],
    search: &RunSearch,
) -> anyhow::Result<ExitCode> {
    let clock = LocalClock::now();
    let mut told: HashMap<Uuid, Option<String>> = HashMap::new();
    loop {
        let rows = listed::found(servers, search).await?;
        let mut text = String::new();
        let mut listed = HashSet::new();
        for row in rows.iter().rev() {
            let row = RunSummary::from_row(row)?;
            listed.insert(row.run_id);
            if told.get(&row.run_id) != Some(&row.status) {
                text.push_str(&line(&row, &clock));
                told.insert(row.run_id, row.status);
            }
        }
        if told.len() > REMEMBERED {
            told.retain(|run, _| listed.contains(run));
        }
        output::print(&text)?;
        sleep(INTERVAL).await;
    }
}

fn line(row: &RunSummary, clock: &LocalClock) -> String {
    let started = row.started_at.as_deref().map(|time| clock.show(time));
    let mut parts = vec![
        started.unwrap_or_else(|| "started ?".to_owned()),
        row.run_id.to_string(),
        format!("{:9}", row.status.as_deref().unwrap_or("?")),
        one_line(&row.agent_id),
    ];
    parts.extend(row.name.as_deref().map(one_line));
    parts.extend(row.duration_ms.map(duration));
    if let (Some(input), Some(output)) = (row.tokens_input, row.tokens_output) {
        parts.push(format!("{}→{} tokens", thousands(input), thousands(output)));
    }
    parts.extend(row.error.as_deref().map(one_line));
    format!("{}\n", parts.join("  "))
}
