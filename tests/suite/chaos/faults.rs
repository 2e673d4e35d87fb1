//! What may go wrong.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::hostile::Mischief;
use super::machine;

/// Faults of one schedule.
const FAULTS: std::ops::RangeInclusive<usize> = 5..=8;
/// The least that a spool may have, and one that is never full.
pub const SPOOL_BYTES: [&str; 2] = ["1048576", "1073741824"];
pub const LARGE: usize = 1;
const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
/// Of a clock that jumps.
const JUMPS: [i64; 6] = [-10 * YEAR, -YEAR, -7 * HOUR, 7 * HOUR, YEAR, 10 * YEAR];

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
    /// Postgres is away, and the disk of a spool takes so many bytes more.
    DiskFull {
        daemon: usize,
        room: u32,
        pause: Duration,
        /// The daemon is killed then, and a new one starts on the full disk.
        kill: bool,
        /// Postgres is back before there is room again.
        postgres_first: bool,
    },
    /// Postgres is away, and each write and sync of a spool takes so long.
    SlowDisk {
        daemon: usize,
        millis: u32,
        pause: Duration,
    },
    /// A daemon's wall clock is wrong by so many seconds, and then right again.
    ClockJump {
        daemon: usize,
        seconds: i64,
        pause: Duration,
        /// The daemon is killed meanwhile, and a new one starts with that clock.
        kill: bool,
    },
    /// The next connection that is amid COPY is cut.
    CutCopy,
    /// The next connection that waits for the answer to COMMIT is cut.
    CutCommit,
    /// All connections to Postgres are cut at once.
    CutAll,
    /// All connections of clients are cut at once.
    CutClients,
    /// All is well but for a client that means harm.
    Hostile {
        daemon: usize,
        mischief: Mischief,
        pause: Duration,
    },
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
    let kinds = if machine::FAILS { 19 } else { 14 };
    match rng.random_range(0..kinds) {
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
        10 => Fault::CutClients,
        11..=13 => Fault::Hostile {
            daemon,
            mischief: Mischief::ALL[rng.random_range(0..Mischief::ALL.len())],
            pause: long,
        },
        14 | 15 => Fault::DiskFull {
            daemon,
            room: rng.random_range(0..50_000),
            pause: long,
            kill: rng.random_bool(0.4),
            postgres_first: rng.random_bool(0.3),
        },
        16 => Fault::SlowDisk {
            daemon,
            millis: rng.random_range(50..400),
            pause: long,
        },
        _ => Fault::ClockJump {
            daemon,
            seconds: JUMPS[rng.random_range(0..JUMPS.len())],
            pause: short,
            kill: rng.random_bool(0.4),
        },
    }
}
