//! The rate limits of one key: an allowance of events and one of bytes, in memory.
//!
//! An allowance refills at its rate, up to one second's worth. A key may send while both
//! balances are at least 1. What it sent is charged afterwards, and may make a balance
//! negative. So the daemon decodes nothing for a key that must wait, accepts a batch
//! larger than one second's worth, and keeps to the rate over time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A smaller missing part of an event or byte is a rounding error. A client that waited
/// as long as it was told may send.
const ROUNDING_ERROR: f64 = 1e-6;

/// The rates of a key. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Rates {
    pub max_events_per_second: Option<u64>,
    pub max_bytes_per_second: Option<u64>,
}

/// The limits of one key.
#[derive(Debug)]
pub struct KeyLimits(Mutex<Allowances>);

#[derive(Debug)]
struct Allowances {
    rates: Rates,
    events: Allowance,
    bytes: Allowance,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// How much the key may still send. Negative: it has sent too much.
    balance: f64,
    /// When the balance was last refilled.
    refilled: Instant,
}

impl Allowance {
    fn full(rate: Option<u64>, now: Instant) -> Self {
        let balance = rate.map_or(0.0, |rate| rate as f64);
        Self {
            balance,
            refilled: now,
        }
    }

    fn refill(&mut self, rate: f64, now: Instant) {
        let gained = now.saturating_duration_since(self.refilled).as_secs_f64() * rate;
        self.balance = (self.balance + gained).min(rate);
        self.refilled = now;
    }

    /// How long until the key may send one event or byte.
    fn wait(&mut self, rate: Option<u64>, now: Instant) -> Duration {
        let Some(rate) = rate.map(|rate| rate as f64) else {
            return Duration::ZERO;
        };
        self.refill(rate, now);
        let missing = 1.0 - self.balance;
        if missing < ROUNDING_ERROR {
            return Duration::ZERO;
        }
        // A very negative balance may take longer than a `Duration` can hold.
        Duration::try_from_secs_f64(missing / rate).unwrap_or(Duration::MAX)
    }
}

impl KeyLimits {
    /// Limits with full allowances.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        let now = Instant::now();
        Self(Mutex::new(Allowances {
            rates,
            events: Allowance::full(rates.max_events_per_second, now),
            bytes: Allowance::full(rates.max_bytes_per_second, now),
        }))
    }

    /// Changes the rates. Negative balances stay.
    pub fn set_rates(&self, rates: Rates) {
        let mut allowances = self.allowances();
        if allowances.rates != rates {
            let now = Instant::now();
            let keep_or_fill = |old: Option<u64>, current: Allowance, new: Option<u64>| match old {
                Some(_) => current,
                None => Allowance::full(new, now),
            };
            let old = allowances.rates;
            allowances.events = keep_or_fill(
                old.max_events_per_second,
                allowances.events,
                rates.max_events_per_second,
            );
            allowances.bytes = keep_or_fill(
                old.max_bytes_per_second,
                allowances.bytes,
                rates.max_bytes_per_second,
            );
            allowances.rates = rates;
        }
    }

    /// How long the key must wait before it may send. Zero: it may send now.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait_at(Instant::now())
    }

    fn wait_at(&self, now: Instant) -> Duration {
        let mut allowances = self.allowances();
        let rates = allowances.rates;
        let events = allowances.events.wait(rates.max_events_per_second, now);
        events.max(allowances.bytes.wait(rates.max_bytes_per_second, now))
    }

    /// Subtracts what the key has sent.
    pub fn charge(&self, events: u64, bytes: u64) {
        let mut allowances = self.allowances();
        allowances.events.balance -= events as f64;
        allowances.bytes.balance -= bytes as f64;
    }

    fn allowances(&self) -> std::sync::MutexGuard<'_, Allowances> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(events: u64, bytes: u64) -> KeyLimits {
        let some = |rate: u64| (rate > 0).then_some(rate);
        KeyLimits::new(Rates {
            max_events_per_second: some(events),
            max_bytes_per_second: some(bytes),
        })
    }

    #[test]
    fn the_last_event_of_the_limit_is_allowed_and_one_more_waits() {
        let limits = limits(100, 0);
        let now = Instant::now();
        limits.charge(99, 1 << 40);
        assert_eq!(limits.wait_at(now), Duration::ZERO);
        limits.charge(1, 0);
        let wait = limits.wait_at(now);
        assert!(wait > Duration::from_millis(8) && wait <= Duration::from_millis(10));
        assert_eq!(limits.wait_at(now + wait), Duration::ZERO);
    }

    #[test]
    fn the_last_byte_of_the_limit_is_allowed_and_one_more_waits() {
        let limits = limits(0, 1_000);
        let now = Instant::now();
        limits.charge(1 << 40, 999);
        assert_eq!(limits.wait_at(now), Duration::ZERO);
        limits.charge(0, 1);
        let wait = limits.wait_at(now);
        assert!(wait > Duration::from_micros(800), "{wait:?}");
        assert!(wait <= Duration::from_millis(1), "{wait:?}");
        assert_eq!(limits.wait_at(now + wait), Duration::ZERO);
    }

    #[test]
    fn a_batch_beyond_the_limit_delays_the_next_one() {
        let limits = limits(0, 1_000);
        let now = Instant::now();
        limits.charge(1_000_000, 11_000);
        let wait = limits.wait_at(now);
        assert!(wait > Duration::from_millis(9_900), "{wait:?}");
        assert!(wait <= Duration::from_millis(10_001), "{wait:?}");
    }

    #[test]
    fn an_allowance_holds_one_second_at_most() {
        let limits = limits(10, 0);
        let later = Instant::now() + Duration::from_secs(3_600);
        assert_eq!(limits.wait_at(later), Duration::ZERO);
        limits.charge(20, 0);
        let wait = limits.wait_at(later);
        assert!(wait > Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn a_negative_balance_survives_a_change_of_rates() {
        let limits = limits(10, 0);
        let now = Instant::now();
        limits.charge(1_010, 0);
        let rates = Rates {
            max_events_per_second: Some(100),
            max_bytes_per_second: None,
        };
        limits.set_rates(rates);
        assert!(limits.wait_at(now) > Duration::from_secs(9));
    }

    #[test]
    fn without_rates_no_key_waits() {
        let limits = limits(0, 0);
        limits.charge(u64::MAX, u64::MAX);
        assert_eq!(limits.wait(), Duration::ZERO);
    }
}
