//! Whether the daemon can make events durable now.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::spool::Spool;

/// The time between two checks of the database.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the database may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the daemon is ready, and the reason if it is not.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<Result<(), &'static str>>,
    spool: Option<Arc<Spool>>,
}

/// The final state.
const SHUTTING_DOWN: Result<(), &str> = Err("shutting down");

impl Readiness {
    /// The state "starting". With a spool, events can be made durable while the database
    /// is away.
    #[must_use]
    pub fn new(spool: Option<Arc<Spool>>) -> Self {
        let state = watch::Sender::new(Err("starting"));
        Self { state, spool }
    }

    /// Sets the state while the database is away: ready only if the spool accepts events.
    pub fn database_away(&self, reason: &'static str) {
        let spooling = self.spool.as_ref().is_some_and(|spool| !spool.refusing());
        self.set(if spooling { Ok(()) } else { Err(reason) });
    }

    /// Changes the state. Has no effect after [`Self::shut_down`].
    pub fn set(&self, state: Result<(), &'static str>) {
        self.state.send_if_modified(|now| {
            *now != SHUTTING_DOWN && std::mem::replace(now, state) != state
        });
    }

    /// Sets the final state: not ready.
    pub fn shut_down(&self) {
        self.set(SHUTTING_DOWN);
    }

    /// The current state.
    ///
    /// # Errors
    /// The reason if the daemon is not ready.
    pub fn get(&self) -> Result<(), &'static str> {
        *self.state.borrow()
    }

    /// Subscribes to changes of the state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Result<(), &'static str>> {
        self.state.subscribe()
    }
}

/// Checks the database periodically until `stop`.
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
            Err(reason) => {
                conn = None;
                readiness.database_away(reason);
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
                // The readiness reports a slow database; the log need not repeat it.
                .disable_statement_logging()
                .connect()
                .await?
        }
    };
    // A standby answers too, but cannot write.
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
