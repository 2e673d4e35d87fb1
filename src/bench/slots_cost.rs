//! `runtraced bench --slots-cost`: what the layout in slots costs writers. Databases with 1, 4 and 16
//! slots are measured in turns, so that what else the machine does is the same for all.

use std::fmt::Write as _;

use super::contender::{Contender, ContenderSetup, remove_all};
use super::extras::measure_rate;
use super::figures::Spread;
use super::progress::BenchProgress;
use super::workload::{WorkloadKind, WorkloadSpec};
use super::{BenchArgs, workload_spec, write_file};
use crate::console::output;

/// The numbers of slots; the first is the plain layout.
const SLOTS: [u8; 3] = [1, 4, 16];
const WORKLOADS: [WorkloadKind; 2] = [WorkloadKind::Steps, WorkloadKind::Agent];

/// Events a second with a number of slots.
#[derive(Debug, serde::Serialize)]
struct SlotsFigures {
    workload: &'static str,
    slots: u8,
    events_per_second: Spread,
    /// Round by round.
    to_one_slot: Spread,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let progress = BenchProgress::new();
    let mut contenders = Vec::new();
    let measured = async {
        for slots in SLOTS {
            let setup = ContenderSetup {
                suffix: &format!("_{slots}"),
                slots,
                writers: args.connections,
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
    output::print(&text(&figures))?;
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
) -> anyhow::Result<Vec<SlotsFigures>> {
    let spec = workload_spec(args, kind);
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..=args.round_count(kind) as u64 {
        for (contender, rates) in contenders.iter().zip(&mut rates) {
            contender.bench.scratch.truncate().await?;
            let spec = WorkloadSpec {
                seed: args.seed + round,
                ..spec
            };
            let what = format!("{}, {} slots", kind.name(), contender.slots);
            let rate = measure_rate(&contender.bench, &spec, args.seed + round, &what).await?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let one = rates.first().cloned().unwrap_or_default();
    let figures = contenders.iter().zip(rates);
    let figures = figures.map(|(contender, rates)| SlotsFigures {
        workload: kind.name(),
        slots: contender.slots,
        to_one_slot: Spread::of(rates.iter().zip(&one).map(|(rate, one)| rate / one)),
        events_per_second: Spread::of(rates),
    });
    Ok(figures.collect())
}

fn text(figures: &[SlotsFigures]) -> String {
    let mut lines = "workload  slots  events a second, and the ratio to 1 slot\n".to_owned();
    for one in figures {
        let _ = writeln!(
            lines,
            "{:8}  {:5}  {}, {}",
            one.workload,
            one.slots,
            one.events_per_second.text(0),
            one.to_one_slot.text(2),
        );
    }
    lines
}
