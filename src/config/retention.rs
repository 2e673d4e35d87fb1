//! Flags that say how long traces are kept.

use std::time::Duration;

use clap::Args;

use super::values::{FlagReader, FlagValue};

/// No limit but what rules say.
const FOREVER: &str = "forever";
/// Less is a typing mistake, which would delete everything.
const LEAST: Duration = Duration::from_secs(3_600);
/// A hundred years.
const MOST: Duration = Duration::from_secs(36_525 * 86_400);

/// Flags that say how long traces are kept.
#[derive(Args, Clone, Debug)]
pub struct RetentionArgs {
    /// Delete runs that ended and have not changed for this time, with all that is in them.
    /// Rules in the table retention_rules have priority. `forever`: delete only what rules
    /// say. Without this flag nothing is deleted.
    #[arg(long, env = "RUNTRACED_RETAIN", value_name = "DURATION")]
    pub retain: Option<FlagValue>,
    /// Share of one connection's time that deleting may take, in percent.
    #[arg(
        long,
        env = "RUNTRACED_RETAIN_SHARE",
        default_value = "10",
        value_name = "PERCENT"
    )]
    pub retain_share: FlagValue,
}

/// How long traces are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long runs are kept that no rule is about; `None`: for ever.
    pub keep: Option<Duration>,
    /// Share of one connection's time that deleting may take.
    pub share_percent: u32,
}

impl RetentionArgs {
    /// Checks the flags. `None`: nothing is deleted.
    pub(super) fn settings(&self, flags: &mut FlagReader) -> Option<RetentionSettings> {
        let share_percent = flags.integer(&self.retain_share, 1..=100);
        // Scripts set a variable to nothing to say that it is not set.
        let retain = self
            .retain
            .as_ref()
            .filter(|value| !value.text().is_empty())?;
        let keep = (retain.text() != FOREVER).then(|| keep(flags, retain));
        Some(RetentionSettings {
            keep,
            share_percent,
        })
    }
}

/// How long something is kept.
pub fn keep(flags: &mut FlagReader, value: &FlagValue) -> Duration {
    flags.duration_within(value, LEAST..=MOST)
}
