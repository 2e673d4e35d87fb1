//! The conservation oracle: whatever fails, and whenever, what was acknowledged
//! is in Postgres exactly once, and what is in Postgres was sent.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod clock_jump;
mod faults;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod full_disk;
mod hostile;
pub mod machine;
pub mod proxies;
mod world;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use faults::schedule;
use world::World;

/// How many schedules the suite runs; `make chaos` asks for more.
const SCHEDULES: u64 = 3;

/// Scenario: two daemons with spools, of a random size, on one Postgres behind a proxy, and clients
/// that send runs to both, some with clocks that are wrong by years. A schedule made from a seed
/// kills daemons (SIGKILL, at times amid a replay), ends them (SIGTERM), crashes and freezes Postgres, cuts connections amid
/// COPY and between COMMIT and its answer, and cuts those of the clients. While Postgres is away it fills a
/// spool's disk, at times with a kill amid it, or slows it down; it lets a daemon's wall clock jump by hours and
/// years, and back. Each such fault is felt by the daemon. Beside the honest clients hostile ones send numbers that
/// explode, events against a rule of the product, ids repeated thousands of times, and bombs.
/// Guarantees: when all is well again everything is acknowledged; every event is in Postgres
/// exactly once, as it was sent, and nothing else is; totals are exact and every run is final;
/// the spools are empty, the ledger has nothing spooled, and each daemon's counts add up; no
/// ERROR was logged. While Postgres is up, hostile clients do not make the honest ones wait.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_everything_acked_is_there_once() {
    let number = |name: &str| {
        let value = std::env::var(name).ok();
        value.and_then(|value| value.parse::<u64>().ok())
    };
    // A seed of one's own is that of one schedule.
    let seeds: Vec<u64> = match number("RUNTRACED_TEST_SEED") {
        Some(seed) => vec![seed],
        None => {
            let count = number("RUNTRACED_CHAOS_SCHEDULES").unwrap_or(SCHEDULES);
            (0..count).map(|_| rand::random::<u32>().into()).collect()
        }
    };
    for seed in seeds {
        let begin = std::time::Instant::now();
        let mut rng = StdRng::seed_from_u64(seed);
        let faults = schedule(&mut rng);
        println!("RUNTRACED_TEST_SEED={seed}: {faults:?}");
        let mut world = World::begin(seed, &mut rng).await;
        for fault in faults {
            world.suffer(fault, &mut rng).await;
        }
        let events = world.check().await;
        println!(
            "RUNTRACED_TEST_SEED={seed}: {events} events, {:.1?}",
            begin.elapsed()
        );
    }
}
