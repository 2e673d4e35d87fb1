//! The settings of the spool.

use std::path::PathBuf;
use std::time::Duration;

use super::MIN_TIMEOUT;
use super::values::{FlagReader, FlagValue};

/// A smaller spool cannot hold a few frames.
const MIN_SPOOL_BYTES: u64 = 1 << 20;

/// Settings of the spool.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields are the flags, parsed
pub struct SpoolSettings {
    pub dir: PathBuf,
    pub bytes: u64,
    pub after: Duration,
}

/// Checks the flags of the spool. `None`: there is none.
pub(super) fn settings(
    flags: &mut FlagReader,
    (bytes, after): (&FlagValue, &FlagValue),
    dir: PathBuf,
    servers: usize,
) -> Option<SpoolSettings> {
    let after = flags.duration(after, MIN_TIMEOUT);
    let size = flags.size(bytes, 0..=u64::MAX);
    if (1..MIN_SPOOL_BYTES).contains(&size) {
        flags.fault(format!(
            "{} {bytes} is below 1MiB, the smallest spool; 0 means no spool",
            bytes.name()
        ));
    } else if size > 0 && size / (servers as u64) < MIN_SPOOL_BYTES {
        flags.fault(format!(
            "{} {bytes} is below 1MiB for each of {servers} servers",
            bytes.name()
        ));
    }
    (size > 0).then_some(SpoolSettings {
        dir,
        bytes: size,
        after,
    })
}
