//! Two daemons, a Postgres and clients, and what must be true of them in the end.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;
use runtraced_client::RetryPolicy;
use sqlx::{Connection as _, PgConnection};

use super::faults::{Fault, LARGE, SPOOL_BYTES};
use super::hostile::Hostile;
use super::machine::Machine;
use super::proxies::{DaemonProxy, PostgresProxy};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::load::Load;
use crate::support::pg::{self, OwnCluster};
use crate::support::product::refuse_poison;

/// Streams to each daemon.
const STREAMS: u64 = 2;
/// Between two runs of a stream, so that faults meet load and not a backlog.
const PAUSE: Duration = Duration::from_millis(30);

/// What a daemon may complain of here; each is a WARN, and nothing is lost by it.
const EXPECTED: [&str; 4] = [
    AWAY,
    "neither Postgres nor the spool accepts events",
    "cannot write the key cache",
    "still open at the drain deadline",
];

pub struct World {
    cluster: OwnCluster,
    postgres: PostgresProxy,
    daemons: Vec<Option<Daemon>>,
    machines: Vec<Machine>,
    /// Which of `SPOOL_BYTES` each daemon has.
    sizes: Vec<usize>,
    proxies: Vec<DaemonProxy>,
    load: Load,
    hostile: Hostile,
}

impl World {
    pub async fn begin(seed: u64, rng: &mut StdRng) -> Self {
        let cluster = pg::own_cluster().await;
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        refuse_poison(&mut conn).await;
        conn.close().await.unwrap();
        let postgres = PostgresProxy::start(cluster.url());
        let (mut daemons, mut machines, mut proxies) = (Vec::new(), Vec::new(), Vec::new());
        let mut sizes = Vec::new();
        for _ in 0..2 {
            let machine = Machine::new();
            let size = usize::from(rng.random_bool(0.7));
            let daemon = start(&postgres.url, &machine, size).await;
            sizes.push(size);
            proxies.push(DaemonProxy::start(daemon.grpc_url()).await);
            daemons.push(Some(daemon));
            machines.push(machine);
        }
        let retry = RetryPolicy {
            first_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(200),
            give_up_after: Duration::from_secs(120),
        };
        let urls: Vec<&str> = proxies.iter().map(|proxy| proxy.url.as_str()).collect();
        let load = Load::paced(PAUSE, seed, &urls, STREAMS, retry).await;
        Self {
            cluster,
            postgres,
            daemons,
            machines,
            sizes,
            proxies,
            load,
            hostile: Hostile::new(),
        }
    }

    /// Lets one fault happen and pass, under load.
    pub async fn suffer(&mut self, fault: Fault, rng: &mut StdRng) {
        sleep(rng.random_range(50..400)).await;
        match fault {
            Fault::Kill {
                daemon,
                pause,
                spool,
            } => {
                self.kill(daemon);
                tokio::time::sleep(pause).await;
                self.start(daemon, spool).await;
            }
            Fault::Terminate { daemon, spool } => {
                let mut old = self.daemons[daemon].take().unwrap();
                // It may end with 1 if Postgres and the spool take nothing; what it
                // acked counts all the same.
                let _ = old.terminate().await;
                self.start(daemon, spool).await;
            }
            Fault::StopPostgres { pause } => {
                self.cluster.stop_immediate().await;
                tokio::time::sleep(pause).await;
                self.cluster.start().await;
            }
            Fault::StopPostgresAndKill {
                daemon,
                pause,
                spool,
            } => {
                self.cluster.stop_immediate().await;
                tokio::time::sleep(pause).await;
                self.kill(daemon);
                self.start(daemon, spool).await;
                tokio::time::sleep(pause / 2).await;
                self.cluster.start().await;
                // Amid the replay, as often as not.
                sleep(rng.random_range(0..600)).await;
                self.kill(daemon);
                self.start(daemon, spool).await;
            }
            Fault::FreezePostgres { pause } => {
                self.cluster.sigstop();
                tokio::time::sleep(pause).await;
                self.cluster.sigcont();
            }
            Fault::DiskFull {
                daemon,
                room,
                pause,
                kill,
                postgres_first,
            } => {
                self.enlarge(daemon).await;
                self.cluster.stop_immediate().await;
                self.machines[daemon].fill_up(room);
                self.machines[daemon].felt(Machine::refused).await;
                tokio::time::sleep(pause).await;
                if kill {
                    self.kill(daemon);
                    self.start(daemon, LARGE).await;
                    self.machines[daemon].felt(Machine::refused).await;
                }
                if postgres_first {
                    self.cluster.start().await;
                    sleep(rng.random_range(0..300)).await;
                }
                self.machines[daemon].give_room();
                if !postgres_first {
                    self.takes_again(daemon).await;
                    self.cluster.start().await;
                }
            }
            Fault::SlowDisk {
                daemon,
                millis,
                pause,
            } => {
                self.enlarge(daemon).await;
                self.machines[daemon].slow_down(millis);
                self.cluster.stop_immediate().await;
                self.machines[daemon].felt(Machine::slowed).await;
                tokio::time::sleep(pause).await;
                self.cluster.start().await;
                tokio::time::sleep(pause / 2).await;
                self.machines[daemon].slow_down(0);
            }
            Fault::ClockJump {
                daemon,
                seconds,
                pause,
                kill,
            } => {
                let before = self.machines[daemon].shifted();
                self.machines[daemon].set_clock(seconds);
                // An answer has a date.
                self.daemons[daemon].as_ref().unwrap().get("/livez").await;
                assert!(self.machines[daemon].shifted() > before);
                tokio::time::sleep(pause).await;
                if kill {
                    self.kill(daemon);
                    self.start(daemon, LARGE).await;
                    tokio::time::sleep(pause).await;
                }
                self.machines[daemon].set_clock(0);
            }
            Fault::CutCopy => self.postgres.cut_copy(),
            Fault::CutCommit => self.postgres.cut_commit(),
            Fault::CutAll => self.postgres.cut_all(),
            Fault::Hostile {
                daemon,
                mischief,
                pause,
            } => {
                self.is_well().await;
                self.load.oracle.measure();
                let url = self.daemons[daemon].as_ref().unwrap().grpc_url();
                self.hostile.act(url, mischief, pause).await;
                let longest = self.load.oracle.longest_wait();
                println!("{mischief:?}: the longest wait of an honest client was {longest:?}");
                assert!(longest < longest_wait(), "{longest:?}");
            }
            Fault::CutClients => self.proxies.iter().for_each(DaemonProxy::cut),
        }
    }

    /// Waits until the faults before are over: the spools are empty, and acks come. The load rests
    /// meanwhile: on a busy machine it would fill a spool as fast as it is emptied.
    async fn is_well(&self) {
        self.load.rest(true);
        for daemon in self.daemons.iter().flatten() {
            empty(daemon).await;
        }
        self.load.rest(false);
        self.load.wait_for_acks(10).await;
    }

    fn kill(&mut self, daemon: usize) {
        self.daemons[daemon].take().unwrap().kill();
    }

    /// Gives a daemon the large spool: one that has reached its own limit asks
    /// no disk.
    async fn enlarge(&mut self, daemon: usize) {
        if self.sizes[daemon] != LARGE {
            self.kill(daemon);
            self.start(daemon, LARGE).await;
        }
    }

    /// Once there is room, acks from the spool go on without Postgres.
    async fn takes_again(&self, daemon: usize) {
        let daemon = self.daemons[daemon].as_ref().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while daemon.metrics().await["runtraced_spool_refusing"] > 0 {
            assert!(Instant::now() < deadline, "refusing\n{}", daemon.logs());
            sleep(20).await;
        }
    }

    async fn start(&mut self, daemon: usize, spool: usize) {
        let new = start(&self.postgres.url, &self.machines[daemon], spool).await;
        self.proxies[daemon].moved(new.grpc_url());
        self.sizes[daemon] = spool;
        self.daemons[daemon] = Some(new);
    }

    /// All is well again: what must be true now. Returns how many events there were.
    pub async fn check(self) -> usize {
        sleep(300).await;
        self.postgres.heal();
        let oracle = self.load.finish().await;
        for daemon in self.daemons.iter().flatten() {
            empty(daemon).await;
        }
        let mut conn = PgConnection::connect(self.cluster.url()).await.unwrap();
        oracle.check_acked(&mut conn).await;
        oracle.check_all(&mut conn).await;
        oracle
            .check_nothing_else(&mut conn, &self.hostile.runs)
            .await;
        for daemon in self.daemons.into_iter().flatten() {
            daemon.finish().await;
        }
        let spooled: i64 = sqlx::query_scalar("SELECT sum(spooled)::bigint FROM ingest_ledger")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(spooled, 0, "the ledger says that something is spooled");
        conn.close().await.unwrap();
        for machine in &self.machines {
            let left = runtraced::spool::list(&machine.spool).unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
        oracle.batches().iter().map(Vec::len).sum()
    }
}

/// The longest that an honest client may wait while Postgres is up.
fn longest_wait() -> Duration {
    let seconds = std::env::var("RUNTRACED_CHAOS_LONGEST_WAIT").ok();
    let seconds = seconds.map_or(30.0, |seconds| seconds.parse().unwrap());
    Duration::from_secs_f64(seconds)
}

async fn start(url: &str, machine: &Machine, size: usize) -> Daemon {
    let args = ["--spool-bytes", SPOOL_BYTES[size], "--spool-after", "0.3"];
    let mut daemon = machine.spawn(url, &args).await;
    EXPECTED
        .iter()
        .for_each(|text| daemon.expect_warnings(text));
    daemon
}

/// Waits until the spool is empty, as long as it gets emptier. Each event that Postgres refuses
/// takes a transaction.
async fn empty(daemon: &Daemon) {
    let spooled = "runtraced_events_settled_total{outcome=\"spooled\"}";
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let left = daemon.metrics().await[spooled];
        if left == 0 {
            break;
        }
        if left < least {
            (least, since) = (left, Instant::now());
        }
        let waited = since.elapsed();
        assert!(
            waited < Duration::from_secs(60),
            "{left} events are not replayed\n{}",
            daemon.logs()
        );
        sleep(20).await;
    }
    daemon.wait_ready().await;
}

async fn sleep(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
