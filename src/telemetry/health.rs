//! Whether the daemon can make events durable now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::spool::Spool;
use crate::store::{Session, SessionUse, Unfit, check_schema, is_timeout, timed_out, unfit};

/// The time between two checks of the database.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the database may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the daemon is ready, and the reason if it is not. With several servers, it is ready if the
/// events of all of them can be made durable.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<ReadyState>,
    servers: Arc<Mutex<Vec<ReadyState>>>,
}

/// The reason why something is not ready.
type ReadyState = Result<(), &'static str>;

/// What one server of the store adds to the readiness.
#[derive(Clone, Debug)]
pub struct ServerReadiness {
    whole: Readiness,
    server: usize,
    spool: Option<Arc<Spool>>,
}

/// The final state.
const SHUTTING_DOWN: ReadyState = Err("shutting down");

impl Readiness {
    /// The state "starting", of so many servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        let starting = Err("starting");
        Self {
            state: watch::Sender::new(starting),
            servers: Arc::new(Mutex::new(vec![starting; servers])),
        }
    }

    /// The part of a server. With a spool, its events can be made durable while it is away.
    #[must_use]
    pub fn of_server(&self, server: usize, spool: Option<Arc<Spool>>) -> ServerReadiness {
        ServerReadiness {
            whole: self.clone(),
            server,
            spool,
        }
    }

    /// Changes the state. Has no effect after [`Self::shut_down`].
    fn set(&self, state: ReadyState) {
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
    pub fn get(&self) -> ReadyState {
        *self.state.borrow()
    }

    /// Subscribes to changes of the state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<ReadyState> {
        self.state.subscribe()
    }
}

impl ServerReadiness {
    /// Sets the state while the database is away: ready only if the spool accepts events.
    pub fn database_away(&self, reason: &'static str) {
        let spooling = self.spool.as_ref().is_some_and(|spool| !spool.refusing());
        self.set(if spooling { Ok(()) } else { Err(reason) });
    }

    /// Changes the state of the server.
    pub fn set(&self, state: ReadyState) {
        let mut servers = self
            .whole
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        servers[self.server] = state;
        let not_ready = servers.iter().find(|state| state.is_err());
        self.whole.set(not_ready.copied().unwrap_or(Ok(())));
    }
}

/// Checks the database periodically until `stop`.
pub async fn watch_database(
    options: PgConnectOptions,
    readiness: ServerReadiness,
    stop: CancellationToken,
) {
    let read = SessionUse::Read;
    let mut session = Session::new(options, "runtraced health", read, TIMEOUT, || ());
    let mut told = None;
    loop {
        let answer = timeout(TIMEOUT, async {
            let answer = ping(session.acquire().await?.conn()).await;
            session.release(answer.as_ref().err());
            answer
        });
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                session.give_up().await;
                Err(timed_out())
            }
        };
        if stop.is_cancelled() {
            return;
        }
        let found = answer.as_ref().err().and_then(unfit);
        match (&answer, found) {
            (Ok(()), _) => readiness.set(Ok(())),
            // Without its schema the daemon can never write, until a person helps.
            (_, Some(Unfit::Behind)) => {
                readiness.set(Err("the schema is not up to date; run `runtraced migrate`"))
            }
            // Nothing is spooled for it either.
            (_, Some(Unfit::Server { .. } | Unfit::OtherStore)) => readiness.set(Err(
                "a database is not the server of the store that --database-url says",
            )),
            (_, Some(_)) => readiness.database_away("daemons of another version write here"),
            (Err(error), None) if is_timeout(error) => {
                readiness.database_away("the database does not answer");
            }
            (Err(_), None) => readiness.database_away("the database is away"),
        }
        if answer.is_ok() || found.is_some() {
            report(found, &mut told);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Reports once that the database is not fit, and once that it is.
fn report(found: Option<Unfit>, told: &mut Option<Option<Unfit>>) {
    if told.replace(found) == Some(found) {
        return;
    }
    match found {
        // ERROR: a person is needed. Nothing is lost while the spool has space.
        Some(unfit @ (Unfit::Behind | Unfit::Server { .. } | Unfit::OtherStore)) => {
            tracing::error!(error = %unfit, "not ready");
        }
        // WARN: it goes on when the other daemons are gone.
        Some(unfit) => tracing::warn!(error = %unfit, "nothing is written to the database"),
        None => tracing::info!("ready"),
    }
}

/// Whether the database can be written, and by this version.
async fn ping(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // A standby answers, too, but cannot make anything durable.
    let standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(&mut *conn)
        .await?;
    if standby {
        return Err(sqlx::Error::PoolClosed);
    }
    check_schema(conn).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_ready_if_all_of_its_servers_are() {
        let readiness = Readiness::new(2);
        let server = |number| readiness.of_server(number, None);
        server(0).set(Ok(()));
        assert_eq!(readiness.get(), Err("starting"));
        server(1).set(Ok(()));
        assert_eq!(readiness.get(), Ok(()));
        server(1).database_away("away");
        server(0).set(Ok(()));
        assert_eq!(readiness.get(), Err("away"));
        server(1).set(Ok(()));
        assert_eq!(readiness.get(), Ok(()));
        readiness.shut_down();
        server(0).set(Ok(()));
        assert_eq!(readiness.get(), SHUTTING_DOWN);
    }
}
