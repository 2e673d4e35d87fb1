//! Waits as distributions.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::figures::Waits;
use super::load::{Ack, Delivery};

/// Waits, exact to a tenth of a percent.
#[derive(Debug)]
pub struct Distribution(Histogram<u64>);

impl Distribution {
    /// Of the acks of a delivery, each request counted once.
    ///
    /// # Errors
    /// Never in practice: the histogram's bounds are fixed.
    pub fn of_acks(delivery: &Delivery) -> anyhow::Result<Self> {
        Self::of(
            delivery
                .acks
                .iter()
                .map(|ack: &Ack| ack.at.saturating_duration_since(ack.from)),
        )
    }

    /// Of durations.
    ///
    /// # Errors
    /// As above.
    pub fn of(waits: impl IntoIterator<Item = Duration>) -> anyhow::Result<Self> {
        let mut histogram = Histogram::new(3)?;
        for wait in waits {
            histogram.record(u64::try_from(wait.as_micros())?)?;
        }
        Ok(Self(histogram))
    }

    /// The figures.
    #[must_use]
    pub fn waits(&self) -> Waits {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Waits {
            count: self.0.len(),
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.0.max() as f64 / 1e3,
        }
    }

    /// Quantiles and their ms, finer towards the slowest.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let steps = (0..=40).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0));
        steps
            .filter(|quantile| (1.0 - quantile) * self.0.len() as f64 >= 1.0 || *quantile == 0.0)
            .map(|quantile| (quantile, self.0.value_at_quantile(quantile) as f64 / 1e3))
            .collect()
    }
}

/// Rows a second by tenths of a second.
#[must_use]
pub fn timeline(delivery: &Delivery, rows_per_event: f64) -> Vec<(f64, f64)> {
    const SLOT: f64 = 0.1;
    let Some(begin) = delivery.acks.iter().map(|ack| ack.from).min() else {
        return Vec::new();
    };
    let slots = (delivery.took.as_secs_f64() / SLOT) as usize + 1;
    let mut events = vec![0; slots];
    for ack in &delivery.acks {
        let slot = ((ack.at - begin).as_secs_f64() / SLOT) as usize;
        events[slot.min(slots - 1)] += ack.events;
    }
    let point =
        |(slot, events): (usize, u64)| (slot as f64 * SLOT, events as f64 * rows_per_event / SLOT);
    events.into_iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_waits() {
        let waits = (1..=1_000).map(Duration::from_millis);
        let distribution = Distribution::of(waits).unwrap();
        let waits = distribution.waits();
        assert_eq!(waits.count, 1_000);
        assert!((waits.p50 - 500.0).abs() < 1.0, "{waits:?}");
        assert!((waits.p99 - 990.0).abs() < 2.0, "{waits:?}");
        assert!((waits.max - 1_000.0).abs() < 2.0, "{waits:?}");
        let curve = distribution.curve();
        assert!(curve.is_sorted_by_key(|(quantile, _)| *quantile));
        assert!(curve.len() > 20);
    }
}
