//! The figures of `--slots-model` for a terminal.

use std::fmt::Write as _;

use super::ModelTrial;
use super::figures::{ModelReport, TrialFigures, WorkloadModel};
use super::parts::CpuPart;
use crate::bench::table::number;
use crate::capacity::{SpreadLimit, SpreadRate};

/// What the computed rates are not.
pub(super) const NOTE: &str = "Slots on several servers do not exist: all slots of a store are in one database. \
     The rates of several workers are computed, and nobody has measured them.";

/// What the computation takes for true. docs/BENCHMARKS.md lists the same.
pub(super) const ASSUMPTIONS: [&str; 10] = [
    "A worker is a server of 16 cores with slots. A daemon has a machine of 4 cores. A core takes as much there as here.",
    "All cores are busy. Nothing is left for readers, peaks and upkeep, of which `runtraced plan` leaves 40 %.",
    "Only processors limit. Disks, the network, waits for locks and the locks of the write-ahead log do not. \
     The last column says what a worker's disk must take.",
    "A store has 4 slots for each worker, at most 64. All slots are equally busy.",
    "A daemon writes to all slots. Its memory budget of 64 MiB is full of events. Half of them are in transactions, \
     one for each slot, of at most 10,000 events. A transaction is of one slot.",
    "A daemon has a writer for each slot, up to 16, and a writer has a connection to each worker that has its slots. \
     If a connection serves several slots, it changes the slot with each transaction.",
    "What is in no slot is on one more server, of 16 cores. Each transaction has a part there, which writes its row of the ledger \
     and the sessions that it names. A session is named once by itself and once by each of its runs. \
     The short transaction in which a writer makes new sessions first is left out.",
    "Workers do not get less work because of that server. Nothing is added for committing on two servers at once.",
    "What daemons do in the background grows with the events, apart from the sums of runs: a daemon takes a twentieth \
     of a processor for them, and they fall behind.",
    "CPU time is that of an event plus that of its transaction. Both come from transactions of two sizes, \
     with empty tables and ascending ids.",
];

/// The report for people.
pub(super) fn text(report: &ModelReport) -> String {
    let mut text = format!(
        "{} cores ({}), load average before: {}; Postgres and the daemon share them.\n",
        report.machine.cores, report.machine.cpu, report.machine.load_before
    );
    for workload in &report.workloads {
        let _ = writeln!(
            text,
            "\n{}: {} events a round, {} rounds. CPU time in µs, medians.\n",
            workload.workload,
            number(workload.events as f64, 0),
            workload.rounds
        );
        add_parts(&mut text, workload);
        add_coordination(&mut text, workload);
        add_rates(&mut text, &workload.rates);
    }
    let _ = writeln!(text, "\n{NOTE}\n\nIt is assumed:");
    for assumption in ASSUMPTIONS {
        let _ = writeln!(text, "- {assumption}");
    }
    text
}

fn add_parts(text: &mut String, workload: &WorkloadModel) {
    let of = |trial: ModelTrial| &workload.trials[trial as usize];
    let trials = [
        ModelTrial::OneSlot,
        ModelTrial::Slots,
        ModelTrial::SmallTransactions,
        ModelTrial::ChangingSlots,
    ]
    .map(of);
    let [names, more] = [
        [
            "1 slot",
            "4 slots",
            "4, small",
            "4, changing",
            "an event",
            "a transaction",
        ],
        ["", "", "", "", "with 4", "with 4"],
    ];
    line(text, "", &names.map(str::to_owned));
    line(text, "an event takes", &more.map(str::to_owned));
    for part in CpuPart::ALL {
        let cost = workload.parts[part as usize].cost_us;
        let measured = trials.map(|trial| number(trial.point(part).micros, 2));
        let [one, large, small, changing] = measured;
        let (event, transaction) = (number(cost.per_event, 2), number(cost.per_transaction, 0));
        line(
            text,
            part.name(),
            &[one, large, small, changing, event, transaction],
        );
    }
    let each =
        |of: &dyn Fn(&TrialFigures) -> f64, digits| trials.map(|one| number(of(one), digits));
    line(text, "daemon, all", &each(&|one| one.total_us(true), 2));
    line(text, "Postgres, all", &each(&|one| one.total_us(false), 2));
    let events = each(&|one| one.events_per_transaction.median, 0);
    line(text, "events in a transaction", &events);
    let rates = each(&|one| one.events_per_second.median, 0);
    line(text, "events a second, on this machine", &rates);
}

fn line(text: &mut String, name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
    let _ = writeln!(text, "{}", format!("  {name:<36}{cells}").trim_end());
}

fn add_coordination(text: &mut String, workload: &WorkloadModel) {
    let shared = &workload.coordination;
    let cost = |name: &str, micros: f64, per: String| format!("  {name:<44}{micros:>8.1}  {per}\n");
    let names = format!(
        "for each, {} for an event",
        number(shared.session_names_per_event, 4)
    );
    let slot = "for a transaction, in addition".to_owned();
    let ledger = "for a transaction".to_owned();
    let _ = write!(
        text,
        "\n{}{}{}{}\n",
        cost(
            "Postgres: another slot than before",
            shared.change_of_slot_us,
            slot
        ),
        cost(
            "shared: ledger, sessions, commit",
            shared.ledger_transaction_us,
            ledger
        ),
        cost("shared: each session", shared.session_us, names),
        cost(
            "Postgres: sums of runs (not in the rates)",
            shared.sums_us_per_event,
            "for an event".to_owned()
        ),
    );
}

fn add_rates(text: &mut String, rates: &[SpreadRate]) {
    let _ = writeln!(
        text,
        "  computed:{:>9}{:>15}{:>13}{:>11}{:>15}{:>15}{:>9}{:>13}{:>10}",
        "", "events in a", "", "", "", "cores busy of", "", "connections", "log MB/s"
    );
    let _ = writeln!(
        text,
        "  workers{:>11}{:>15}{:>13}{:>11}{:>15}{:>15}{:>9}{:>13}{:>10}",
        "slots",
        "transaction",
        "events/s",
        "of linear",
        "busy first",
        "shared server",
        "daemons",
        "of a worker",
        "of one"
    );
    for rate in rates {
        let busy = match rate.limit {
            SpreadLimit::Workers => "workers",
            SpreadLimit::SharedServer => "shared server",
        };
        let _ = writeln!(
            text,
            "  {:>7}{:>11}{:>15}{:>13}{:>11.2}{busy:>15}{:>15.1}{:>9}{:>13}{:>10}",
            rate.workers,
            rate.slots,
            number(rate.batch_events, 0),
            number(rate.events_per_second, 0),
            rate.of_linear,
            rate.shared_busy_cores,
            rate.daemons,
            rate.connections,
            number(rate.log_bytes_per_second / 1e6, 0),
        );
    }
}
