//! `runtraced bench --slots-cost` and `--servers-cost`: what dividing the runs of a store costs writers.
//! Stores that are divided in different ways are measured in turns, so that what else the machine does is
//! the same for all.

use std::fmt::Write as _;

use super::contender::{Contender, ContenderSetup, remove_all};
use super::extras::measure_rate;
use super::figures::Spread;
use super::progress::BenchProgress;
use super::workload::{WorkloadKind, WorkloadSpec};
use super::{BenchArgs, workload_spec, write_file};
use crate::console::output;

const WORKLOADS: [WorkloadKind; 2] = [WorkloadKind::Steps, WorkloadKind::Agent];

/// How a store is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreDivision {
    slots: u8,
    servers: usize,
}

/// Stores that are compared. The first is not divided.
#[derive(Debug)]
pub(super) struct DivisionSeries {
    /// What there are more and more of.
    of: &'static str,
    divisions: [StoreDivision; 3],
}

pub(super) const SLOTS: DivisionSeries = DivisionSeries {
    of: "slots",
    divisions: [with_slots(1), with_slots(4), with_slots(16)],
};
pub(super) const SERVERS: DivisionSeries = DivisionSeries {
    of: "servers",
    divisions: [with_servers(1), with_servers(2), with_servers(4)],
};

const fn with_slots(slots: u8) -> StoreDivision {
    StoreDivision { slots, servers: 1 }
}

const fn with_servers(servers: usize) -> StoreDivision {
    StoreDivision { slots: 1, servers }
}

/// Events a second of a store.
#[derive(Debug, serde::Serialize)]
struct DivisionFigures {
    workload: &'static str,
    slots: u8,
    servers: usize,
    events_per_second: Spread,
    /// Round by round.
    to_undivided: Spread,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str, series: &DivisionSeries) -> anyhow::Result<()> {
    let progress = BenchProgress::new();
    let mut contenders = Vec::new();
    let measured = async {
        for StoreDivision { slots, servers } in series.divisions {
            let setup = ContenderSetup {
                suffix: &format!("_{slots}_{servers}"),
                slots,
                servers,
                writers: args.connections.div_ceil(servers),
                flags: &[],
            };
            contenders.push(Contender::start(args, url, &setup, &progress).await?);
        }
        let mut figures = Vec::new();
        for kind in WORKLOADS {
            figures.extend(measure(args, &contenders, kind).await?);
        }
        anyhow::Ok(figures)
    }
    .await;
    let removed = remove_all(contenders).await;
    let figures = measured?;
    removed?;
    progress.clear();
    output::print(&text(series, &figures))?;
    write_file(
        args.json.as_deref(),
        &serde_json::to_string_pretty(&figures)?,
    )
}

/// Measures all in turns, after one round that warms up.
async fn measure(
    args: &BenchArgs,
    contenders: &[Contender],
    kind: WorkloadKind,
) -> anyhow::Result<Vec<DivisionFigures>> {
    let spec = workload_spec(args, kind);
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..=args.round_count(kind) as u64 {
        for (contender, rates) in contenders.iter().zip(&mut rates) {
            contender.truncate().await?;
            let spec = WorkloadSpec {
                seed: args.seed + round,
                ..spec
            };
            let what = format!(
                "{}, {} servers, {} slots",
                kind.name(),
                contender.servers,
                contender.slots
            );
            let rate = measure_rate(&contender.bench, &spec, args.seed + round, &what).await?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let one = rates.first().cloned().unwrap_or_default();
    let figures = contenders.iter().zip(rates);
    let figures = figures.map(|(contender, rates)| DivisionFigures {
        workload: kind.name(),
        slots: contender.slots,
        servers: contender.servers,
        to_undivided: Spread::of(rates.iter().zip(&one).map(|(rate, one)| rate / one)),
        events_per_second: Spread::of(rates),
    });
    Ok(figures.collect())
}

fn text(series: &DivisionSeries, figures: &[DivisionFigures]) -> String {
    let of = series.of;
    let mut lines = format!("workload  {of:>7}  events a second, and the ratio to 1\n");
    for one in figures {
        let count = usize::from(one.slots) * one.servers;
        let _ = writeln!(
            lines,
            "{:8}  {count:7}  {}, {}",
            one.workload,
            one.events_per_second.text(0),
            one.to_undivided.text(2),
        );
    }
    lines
}
