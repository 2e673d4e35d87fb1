//! Writers alone and beside something else, in turn.

use super::figures::Spread;
use super::measure::BenchHarness;
use super::waits::WaitDistribution;
use super::workload::Workload;

/// One delivery, or several of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteFigures {
    pub events_per_second: f64,
    /// The greatest of the deliveries, in ms.
    pub ack_p99: f64,
}

impl WriteFigures {
    /// Deliveries of as many events each, one after the other.
    pub fn of_equal(deliveries: &[Self]) -> Self {
        let seconds: f64 = deliveries
            .iter()
            .map(|one| 1.0 / one.events_per_second)
            .sum();
        Self {
            events_per_second: deliveries.len() as f64 / seconds,
            ack_p99: deliveries.iter().map(|one| one.ack_p99).fold(0.0, f64::max),
        }
    }
}

/// Delivers a workload as fast as acks allow.
pub(super) async fn write(
    bench: &BenchHarness,
    workload: &Workload,
    round: u64,
) -> anyhow::Result<WriteFigures> {
    let stage = format!("{}: round {round}", workload.kind.name());
    let events = workload.events();
    let (delivery, measured) = bench.deliver_measured(workload, &stage, events).await?;
    Ok(WriteFigures {
        events_per_second: events as f64 / measured.seconds,
        ack_p99: WaitDistribution::of_acks(&delivery)?.quantiles().p99,
    })
}

/// What writers reach alone and beside something else.
#[derive(Debug, serde::Serialize)]
pub(super) struct WritersBeside {
    /// Acknowledged events a second, alone.
    writers_alone: Spread,
    /// The same beside it.
    writers_beside: Spread,
    /// The rate beside it, relative to that alone, by rounds.
    relative_rate: Spread,
    /// The 99th percentile of acks alone, in ms.
    ack_p99_alone: Spread,
    /// The same beside it.
    ack_p99_beside: Spread,
}

impl WritersBeside {
    /// Of rounds: alone and beside it.
    pub fn of(rounds: &[(WriteFigures, WriteFigures)]) -> Self {
        let spread =
            |of: fn(&(WriteFigures, WriteFigures)) -> f64| Spread::of(rounds.iter().map(of));
        Self {
            writers_alone: spread(|(alone, _)| alone.events_per_second),
            writers_beside: spread(|(_, beside)| beside.events_per_second),
            relative_rate: spread(|(alone, beside)| {
                beside.events_per_second / alone.events_per_second
            }),
            ack_p99_alone: spread(|(alone, _)| alone.ack_p99),
            ack_p99_beside: spread(|(_, beside)| beside.ack_p99),
        }
    }

    /// Lines of the table. `beside`: what writers were beside of.
    pub fn text(&self, beside: &str) -> String {
        format!(
            "\x20 events/s alone: {}\n\
             \x20 events/s beside {beside}: {}\n\
             \x20 rate beside {beside}, relative: {}\n\
             \x20 ack p99 alone and beside {beside}, ms: {} and {}\n",
            self.writers_alone.text(0),
            self.writers_beside.text(0),
            self.relative_rate.text(3),
            self.ack_p99_alone.text(1),
            self.ack_p99_beside.text(1),
        )
    }
}
