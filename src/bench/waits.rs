//! Distributions of waits, and rates over time.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::figures::WaitQuantiles;
use super::load::{DeliveryResult, RequestAck};

/// Precision of the histogram: a tenth of a percent.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Points of a curve: from the fastest request to the quantile 0.9999, ten for each further nine.
const CURVE_DECADES: i32 = 4;
const CURVE_POINTS_PER_DECADE: i32 = 10;
const MICROS_PER_MS: f64 = 1e3;

/// A histogram of waits in microseconds.
#[derive(Debug)]
pub struct WaitDistribution(Histogram<u64>);

impl WaitDistribution {
    /// The waits for the acks of a delivery, one per request.
    ///
    /// # Errors
    /// When a wait does not fit the histogram, which does not happen in practice.
    pub fn of_acks(delivery: &DeliveryResult) -> anyhow::Result<Self> {
        Self::of(
            delivery
                .acks
                .iter()
                .map(|ack: &RequestAck| ack.acked_at.saturating_duration_since(ack.waiting_since)),
        )
    }

    /// The distribution of `waits`.
    ///
    /// # Errors
    /// As for [`Self::of_acks`].
    pub fn of(waits: impl IntoIterator<Item = Duration>) -> anyhow::Result<Self> {
        let mut histogram = Histogram::new(SIGNIFICANT_DIGITS)?;
        for wait in waits {
            histogram.record(u64::try_from(wait.as_micros())?)?;
        }
        Ok(Self(histogram))
    }

    /// The quantiles that reports show.
    #[must_use]
    pub fn quantiles(&self) -> WaitQuantiles {
        let ms = |quantile| self.0.value_at_quantile(quantile) as f64 / MICROS_PER_MS;
        WaitQuantiles {
            count: self.0.len(),
            p50: ms(0.5),
            p95: ms(0.95),
            p99: ms(0.99),
            p99_9: ms(0.999),
            max: self.0.max() as f64 / MICROS_PER_MS,
        }
    }

    /// Points of a curve: quantile, and wait in ms. Points are denser towards the slowest.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let steps = (0..=CURVE_DECADES * CURVE_POINTS_PER_DECADE)
            .map(|step| 1.0 - 10_f64.powf(-f64::from(step) / f64::from(CURVE_POINTS_PER_DECADE)));
        steps
            .filter(|quantile| (1.0 - quantile) * self.0.len() as f64 >= 1.0 || *quantile == 0.0)
            .map(|quantile| {
                (
                    quantile,
                    self.0.value_at_quantile(quantile) as f64 / MICROS_PER_MS,
                )
            })
            .collect()
    }
}

/// Rows per second of a delivery over time: seconds from its start, and the rate in that slot.
#[must_use]
pub fn timeline(delivery: &DeliveryResult, rows_per_event: f64) -> Vec<(f64, f64)> {
    const SLOT_SECONDS: f64 = 0.1;
    let Some(begin) = delivery.acks.iter().map(|ack| ack.waiting_since).min() else {
        return Vec::new();
    };
    let slots = (delivery.took.as_secs_f64() / SLOT_SECONDS) as usize + 1;
    let mut events = vec![0; slots];
    for ack in &delivery.acks {
        let slot = ((ack.acked_at - begin).as_secs_f64() / SLOT_SECONDS) as usize;
        events[slot.min(slots - 1)] += ack.events;
    }
    let point = |(slot, events): (usize, u64)| {
        (
            slot as f64 * SLOT_SECONDS,
            events as f64 * rows_per_event / SLOT_SECONDS,
        )
    };
    events.into_iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_the_waits() {
        let waits = (1..=1_000).map(Duration::from_millis);
        let distribution = WaitDistribution::of(waits).unwrap();
        let waits = distribution.quantiles();
        assert_eq!(waits.count, 1_000);
        assert!((waits.p50 - 500.0).abs() < 1.0, "{waits:?}");
        assert!((waits.p99 - 990.0).abs() < 2.0, "{waits:?}");
        assert!((waits.max - 1_000.0).abs() < 2.0, "{waits:?}");
        let curve = distribution.curve();
        assert!(curve.is_sorted_by_key(|(quantile, _)| *quantile));
        assert!(curve.len() > 20);
    }
}
