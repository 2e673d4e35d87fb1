//! How large the next part of a unit is that Postgres refuses as a whole.

use crate::event::Event;

/// The most events of one part: a transaction that takes milliseconds.
const MAX_EVENTS: usize = 500;
/// The most bytes of one part of several events, for the same reason.
const MAX_BYTES: usize = 1 << 20;

/// The number of events of the next part. It doubles with each part that is written, and
/// shrinks with each one that is refused, down to a single event.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartSize {
    events: usize,
    /// The number of events before the one that Postgres refuses, if it has named that.
    before: Option<usize>,
}

impl Default for PartSize {
    fn default() -> Self {
        Self {
            events: MAX_EVENTS,
            before: None,
        }
    }
}

impl PartSize {
    /// The first events, as the next part. At least one.
    pub fn first<'e, 's>(self, events: &'s [&'e Event]) -> &'s [&'e Event] {
        let mut bytes = 0;
        let fits = events.iter().take(self.events()).take_while(|event| {
            bytes += event.weight_bytes();
            bytes <= MAX_BYTES
        });
        let count = fits.count().max(1);
        events.get(..count).unwrap_or(events)
    }

    fn events(self) -> usize {
        self.before.unwrap_or(self.events).max(1)
    }

    /// A part of so many events was written.
    pub fn written(&mut self, events: usize) {
        match self.before {
            Some(before) if before > 0 => self.before = Some(before.saturating_sub(events)),
            _ => {
                *self = Self {
                    events: (self.events * 2).min(MAX_EVENTS),
                    before: None,
                }
            }
        }
    }

    /// A part of so many events was refused, perhaps at a known one. The events before that
    /// one come next, and then that one alone. After it, refused ones may be as frequent.
    pub fn refused(&mut self, events: usize, at: Option<usize>) {
        let at = at.filter(|at| events > 1 && *at < events);
        let events = match at {
            Some(at) => at * 2,
            None if events > 1 => events / 2,
            None => self.events,
        };
        *self = Self {
            events: events.clamp(1, MAX_EVENTS),
            before: at,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts it takes to write `events` of which some are bad, if each refusal
    /// names the first bad event or not.
    fn attempts(events: usize, is_bad: impl Fn(usize) -> bool, named: bool) -> usize {
        let mut size = PartSize::default();
        let (mut start, mut attempts, mut isolated) = (0, 0, 0);
        while start < events {
            attempts += 1;
            let end = (start + size.events()).min(events);
            let bad = (start..end).position(&is_bad);
            match bad {
                None => size.written(end - start),
                Some(at) => size.refused(end - start, named.then_some(at)),
            }
            if bad.is_none() || end - start == 1 {
                isolated += usize::from(bad.is_some());
                start = end;
            }
        }
        assert_eq!(isolated, (0..events).filter(|&event| is_bad(event)).count());
        attempts
    }

    #[test]
    fn one_bad_event_takes_few_attempts_and_many_take_about_one_each() {
        for bad in [0, 1, 500, 998, 999] {
            assert!(attempts(1_000, |event| event == bad, false) <= 30, "{bad}");
            assert!(attempts(1_000, |event| event == bad, true) <= 16, "{bad}");
        }
        for named in [false, true] {
            assert!(attempts(5_000, |_| true, named) < 5_020);
            assert_eq!(attempts(5_000, |_| false, named), 10);
            assert!(attempts(5_000, |event| event % 2 == 0, named) < 10_000);
            assert!(attempts(5_000, |event| event % 100 == 7, named) < 1_000);
        }
        assert!(attempts(5_000, |event| event % 3 == 0, true) < 6_000);
        assert!(attempts(5_000, |event| event % 50 == 0, true) < 550);
    }
}
