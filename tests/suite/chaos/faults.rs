//! What may go wrong.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Faults of one schedule.
const FAULTS: std::ops::RangeInclusive<usize> = 5..=8;
/// The least that a spool may have, and one that is never full.
pub const SPOOL_BYTES: [&str; 2] = ["1048576", "1073741824"];

/// One fault; the times are how long it lasts.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// `kill -9`, and a new daemon on the same spool, which has another size.
    Kill {
        daemon: usize,
        pause: Duration,
        spool: usize,
    },
    /// SIGTERM, and a new daemon.
    Terminate { daemon: usize, spool: usize },
    /// As in a crash.
    StopPostgres { pause: Duration },
    /// The same, and a daemon is killed while it is away.
    StopPostgresAndKill {
        daemon: usize,
        pause: Duration,
        spool: usize,
    },
    /// It says nothing any more.
    FreezePostgres { pause: Duration },
    /// The next connection that is amid COPY is cut.
    CutCopy,
    /// The next connection that waits for the answer to COMMIT is cut.
    CutCommit,
    /// All connections to Postgres are cut at once.
    CutAll,
    /// All connections of clients are cut at once.
    CutClients,
}

/// A random schedule.
pub fn schedule(rng: &mut StdRng) -> Vec<Fault> {
    let count = rng.random_range(FAULTS);
    (0..count).map(|_| fault(rng)).collect()
}

fn fault(rng: &mut StdRng) -> Fault {
    let daemon = rng.random_range(0..2);
    let spool = usize::from(rng.random_bool(0.7));
    let mut pause = |most: u64| Duration::from_millis(rng.random_range(0..most));
    let (short, long) = (pause(300), pause(1_500));
    match rng.random_range(0..11) {
        0 | 1 => Fault::Kill {
            daemon,
            pause: short,
            spool,
        },
        2 => Fault::Terminate { daemon, spool },
        3 | 4 => Fault::StopPostgres { pause: long },
        5 => Fault::StopPostgresAndKill {
            daemon,
            pause: long,
            spool,
        },
        6 => Fault::FreezePostgres { pause: long },
        7 => Fault::CutCopy,
        8 => Fault::CutCommit,
        9 => Fault::CutAll,
        _ => Fault::CutClients,
    }
}
