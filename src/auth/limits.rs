//! How much one key may send: an account of events and one of bytes, in memory.
//!
//! Paid afterwards: whoever is not in debt may send, and what was sent is then
//! taken from the account, below zero if need be. So nothing is decoded for those
//! who must wait, a batch larger than a second's allowance passes, and over time
//! nobody has more than was allowed. An account holds one second's worth at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Less of an event or byte is lost in rounding: who waited as told is let in.
const LEAST_MISSING: f64 = 1e-6;

/// The rates of a key; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Rates {
    pub max_events_per_second: Option<u64>,
    pub max_bytes_per_second: Option<u64>,
}

/// The accounts of one key.
#[derive(Debug)]
pub struct Limits(Mutex<State>);

#[derive(Debug)]
struct State {
    rates: Rates,
    events: Account,
    bytes: Account,
}

/// What may still be sent; negative: a debt.
#[derive(Clone, Copy, Debug)]
struct Account {
    balance: f64,
    at: Instant,
}

impl Account {
    fn full(rate: Option<u64>, now: Instant) -> Self {
        let balance = rate.map_or(0.0, |rate| rate as f64);
        Self { balance, at: now }
    }

    fn fill(&mut self, rate: f64, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.balance = (self.balance + gained).min(rate);
        self.at = now;
    }

    /// How long until one may be sent.
    fn wait(&mut self, rate: Option<u64>, now: Instant) -> Duration {
        let Some(rate) = rate.map(|rate| rate as f64) else {
            return Duration::ZERO;
        };
        self.fill(rate, now);
        let missing = 1.0 - self.balance;
        if missing < LEAST_MISSING {
            return Duration::ZERO;
        }
        // A debt of centuries is still a duration.
        Duration::try_from_secs_f64(missing / rate).unwrap_or(Duration::MAX)
    }
}

impl Limits {
    /// Full accounts.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            rates,
            events: Account::full(rates.max_events_per_second, now),
            bytes: Account::full(rates.max_bytes_per_second, now),
        }))
    }

    /// The rates are these from now on; debts stay.
    pub fn set_rates(&self, rates: Rates) {
        let mut state = self.state();
        if state.rates != rates {
            let now = Instant::now();
            let fresh = |old: Option<u64>, account: Account, new: Option<u64>| match old {
                Some(_) => account,
                None => Account::full(new, now),
            };
            let old = state.rates;
            state.events = fresh(
                old.max_events_per_second,
                state.events,
                rates.max_events_per_second,
            );
            state.bytes = fresh(
                old.max_bytes_per_second,
                state.bytes,
                rates.max_bytes_per_second,
            );
            state.rates = rates;
        }
    }

    /// How long the key must wait before it may send; zero: it may now.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait_at(Instant::now())
    }

    fn wait_at(&self, now: Instant) -> Duration {
        let mut state = self.state();
        let rates = state.rates;
        let events = state.events.wait(rates.max_events_per_second, now);
        events.max(state.bytes.wait(rates.max_bytes_per_second, now))
    }

    /// Something was sent.
    pub fn charge(&self, events: u64, bytes: u64) {
        let mut state = self.state();
        state.events.balance -= events as f64;
        state.bytes.balance -= bytes as f64;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(events: u64, bytes: u64) -> Limits {
        let some = |rate: u64| (rate > 0).then_some(rate);
        Limits::new(Rates {
            max_events_per_second: some(events),
            max_bytes_per_second: some(bytes),
        })
    }

    #[test]
    fn at_the_limit_is_allowed_and_one_more_waits_for_as_long_as_it_takes() {
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
    fn what_was_taken_beyond_the_limit_is_paid_back() {
        let limits = limits(0, 1_000);
        let now = Instant::now();
        limits.charge(1_000_000, 11_000);
        let wait = limits.wait_at(now);
        assert!(wait > Duration::from_millis(9_900), "{wait:?}");
        assert!(wait <= Duration::from_millis(10_001), "{wait:?}");
    }

    #[test]
    fn nothing_is_saved_up_beyond_a_second() {
        let limits = limits(10, 0);
        let later = Instant::now() + Duration::from_secs(3_600);
        assert_eq!(limits.wait_at(later), Duration::ZERO);
        limits.charge(20, 0);
        let wait = limits.wait_at(later);
        assert!(wait > Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn a_debt_outlives_a_change_of_rates() {
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
    fn without_rates_nobody_waits() {
        let limits = limits(0, 0);
        limits.charge(u64::MAX, u64::MAX);
        assert_eq!(limits.wait(), Duration::ZERO);
    }
}
