//! Whether the daemon can make events durable now.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::spool::Spool;

/// How often the database is asked, and how long it may take to answer.
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Ready or not, and why not.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<Result<(), &'static str>>,
    spool: Option<Arc<Spool>>,
}

/// The last state of all.
const SHUTTING_DOWN: Result<(), &str> = Err("shutting down");

impl Readiness {
    /// Starting. With a spool events can be made durable while the database is away.
    #[must_use]
    pub fn new(spool: Option<Arc<Spool>>) -> Self {
        let state = watch::Sender::new(Err("starting"));
        Self { state, spool }
    }

    /// The database is not there: ready only if the spool takes what comes.
    pub fn database_away(&self, why: &'static str) {
        let spooling = self.spool.as_ref().is_some_and(|spool| !spool.refusing());
        self.set(if spooling { Ok(()) } else { Err(why) });
    }

    /// Changes the state, unless it shuts down.
    pub fn set(&self, state: Result<(), &'static str>) {
        self.state.send_if_modified(|now| {
            *now != SHUTTING_DOWN && std::mem::replace(now, state) != state
        });
    }

    /// Not ready, whatever the database says from now on.
    pub fn shut_down(&self) {
        self.set(SHUTTING_DOWN);
    }

    /// The state now.
    ///
    /// # Errors
    /// Why it is not ready.
    pub fn get(&self) -> Result<(), &'static str> {
        *self.state.borrow()
    }

    /// Follows the state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Result<(), &'static str>> {
        self.state.subscribe()
    }
}

/// Asks the database again and again, until stopped.
pub async fn watch_database(
    options: PgConnectOptions,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let mut conn = None;
    loop {
        let answer = tokio::time::timeout(TIMEOUT, ping(&options, &mut conn)).await;
        let state = match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the database is away"),
            Err(_) => Err("the database does not answer"),
        };
        if stop.is_cancelled() {
            return;
        }
        match state {
            Ok(()) => readiness.set(Ok(())),
            Err(why) => {
                conn = None;
                readiness.database_away(why);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn ping(
    options: &PgConnectOptions,
    conn: &mut Option<PgConnection>,
) -> Result<(), sqlx::Error> {
    let mut open = match conn.take() {
        Some(open) => open,
        None => {
            options
                .clone()
                .application_name("runtraced health")
                // A database that is slow or away shows in the readiness.
                .disable_statement_logging()
                .connect()
                .await?
        }
    };
    // A standby answers, too, but cannot make anything durable.
    let standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(&mut open)
        .await?;
    *conn = Some(open);
    if standby {
        Err(sqlx::Error::PoolClosed)
    } else {
        Ok(())
    }
}
