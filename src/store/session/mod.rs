//! Sessions of the daemon in Postgres: each part of the daemon has at most one.
//!
//! The part that uses a session may give up at any time, in the middle of a statement.
//! Closing the connection would not end the statement: a server process that waits for a
//! lock does not notice. So a session that was given up keeps its connection until the
//! server has ended the statement (`statement_timeout`) and the process has exited. Only
//! then it opens another one.

mod connection;
mod identity;
mod nagle;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::time::{Instant, timeout, timeout_at};

use self::connection::{Connected, PlanAge};
pub use self::identity::identify_database;
pub use self::nagle::turn_off as turn_off_nagle;
use super::error::{
    FailureClass, classify_failure, is_not_migrated, is_timeout, is_unfit, timed_out,
};
use super::schema;
use super::servers::is_mixed;

/// How long an attempt to connect may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a server process may outlive its own limits before it counts as unreachable.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Counts the statements of this process that failed because the schema lacks something.
static SCHEMA_FAILURES: AtomicU64 = AtomicU64::new(0);

/// What a check of the schema depends on: after a change, every session checks it again.
fn generation() -> u64 {
    SCHEMA_FAILURES.load(Relaxed) + u64::from(is_mixed())
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// It only reads, whatever the schema is.
    Read,
    /// It writes, so the schema and the rules of writing must be those of this version.
    Write,
}

/// A session that is opened when it is first needed, and again after each failure.
/// `S` is state that is valid as long as the connection is open.
pub struct Session<S = ()> {
    options: PgConnectOptions,
    name: &'static str,
    session_use: SessionUse,
    limit: Duration,
    new_state: fn() -> S,
    state: State<S>,
    /// A server process that did not end in time. The next connection terminates it.
    left_behind: Option<String>,
}

enum State<S> {
    Closed,
    /// Kept when its caller gives up: a new attempt would be one connection more.
    Connecting {
        attempt: Pin<Box<dyn Future<Output = Result<NewConnection, sqlx::Error>> + Send>>,
        since: Instant,
    },
    Open(Box<OpenSession<S>>),
    Ending(Box<EndingSession>),
}

struct OpenSession<S> {
    conn: PgConnection,
    backend: Option<String>,
    plans: PlanAge,
    /// The limits that the server knows; `None` after a transaction that set others and
    /// may not have committed.
    limit: Option<Duration>,
    /// The [`generation`] of the last check; `None` if it was not admitted yet.
    checked: Option<u64>,
    /// Whether somebody uses it. If so when it is wanted next, that use was given up.
    in_use: bool,
    state: S,
}

/// A new connection.
struct NewConnection {
    connected: Connected,
    /// The [`generation`] in which it was admitted as a writer.
    checked: Option<u64>,
    /// Why it was not.
    refusal: Option<sqlx::Error>,
}

struct EndingSession {
    conn: PgConnection,
    backend: Option<String>,
    until: Instant,
}

/// An open session in use.
pub struct SessionInUse<'s, S> {
    conn: &'s mut PgConnection,
    limit: &'s mut Option<Duration>,
    wanted: Duration,
    state: &'s mut S,
}

impl<S> Session<S> {
    /// A session that is not open yet. The server shows `name` as its application, and
    /// ends each statement after `limit`.
    pub fn new(
        options: PgConnectOptions,
        name: &'static str,
        session_use: SessionUse,
        limit: Duration,
        new_state: fn() -> S,
    ) -> Self {
        Self {
            options,
            name,
            session_use,
            limit,
            new_state,
            state: State::Closed,
            left_behind: None,
        }
    }

    /// The state of the open connection, if there is one.
    pub fn state_mut(&mut self) -> Option<&mut S> {
        match &mut self.state {
            State::Open(open) => Some(&mut open.state),
            _ => None,
        }
    }

    /// Sets the limit of transactions that begin from now on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Opens the session if needed, for one use. Call [`Self::release`] after it. A use
    /// that is not released was given up: the session ends, and another one is opened.
    ///
    /// # Errors
    /// If the database is away, or is not fit to be written.
    pub async fn acquire(&mut self) -> Result<SessionInUse<'_, S>, sqlx::Error> {
        while !self.is_open() {
            self.proceed().await?;
        }
        let State::Open(open) = &mut self.state else {
            return Err(timed_out());
        };
        open.in_use = true;
        let prepared = open.prepare(self.session_use).await;
        if let Err(error) = prepared {
            self.release(Some(&error));
            return Err(error);
        }
        let State::Open(open) = &mut self.state else {
            return Err(timed_out());
        };
        Ok(SessionInUse {
            conn: &mut open.conn,
            limit: &mut open.limit,
            wanted: self.limit,
            state: &mut open.state,
        })
    }

    /// Ends a use, which may have failed. The connection stays open unless the failure
    /// says that the database is away.
    pub fn release(&mut self, failure: Option<&sqlx::Error>) {
        let State::Open(open) = &mut self.state else {
            return;
        };
        open.in_use = false;
        let Some(error) = failure else {
            return;
        };
        if is_not_migrated(error) && !is_unfit(error) {
            SCHEMA_FAILURES.fetch_add(1, Relaxed);
        }
        // A person may change what a new session alone sees.
        let ends = match classify_failure(error) {
            FailureClass::Unavailable => !is_harmless(error),
            class => class == FailureClass::NeedsPerson,
        };
        if ends {
            self.end();
        }
    }

    /// Gives up a use in the middle of it. It tells the server to end the transaction as
    /// soon as the statement ends, and does not wait for that.
    pub async fn give_up(&mut self) {
        self.end();
        // Polled once, which writes what is to be written.
        let _ = timeout(Duration::ZERO, self.proceed()).await;
    }

    fn is_open(&self) -> bool {
        matches!(&self.state, State::Open(open) if !open.in_use)
    }

    /// Comes one step nearer to an open session. It may be cancelled at any time.
    async fn proceed(&mut self) -> Result<(), sqlx::Error> {
        match &mut self.state {
            // Its last use was given up.
            State::Open(_) => self.end(),
            State::Closed => {
                let connect = connection::connect(self.options.clone(), self.name, self.limit);
                let admit = admit(connect, self.session_use, self.left_behind.clone());
                self.state = State::Connecting {
                    attempt: Box::pin(admit),
                    since: Instant::now(),
                };
            }
            State::Connecting { attempt, since } => {
                let admitted = timeout_at(*since + CONNECT_PATIENCE, attempt).await;
                self.state = State::Closed;
                let admitted = admitted.map_err(|_| timed_out())??;
                let Connected { conn, backend } = admitted.connected;
                self.state = State::Open(Box::new(OpenSession {
                    conn,
                    backend,
                    plans: PlanAge::new(),
                    limit: Some(self.limit),
                    checked: admitted.checked,
                    in_use: false,
                    state: (self.new_state)(),
                }));
                match admitted.refusal {
                    Some(error) if !is_unfit(&error) => {
                        self.end();
                        return Err(error);
                    }
                    // While the database is unfit, the connection serves for the next look.
                    refusal => {
                        self.left_behind = None;
                        return refusal.map_or(Ok(()), Err);
                    }
                }
            }
            State::Ending(ending) => {
                let ended =
                    timeout_at(ending.until, connection::wait_for_end(&mut ending.conn)).await;
                if ended.is_err() {
                    self.left_behind = ending.backend.take();
                }
                self.state = State::Closed;
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Closed) {
            let limit = open.limit.unwrap_or(self.limit).max(self.limit);
            self.state = State::Ending(Box::new(EndingSession {
                conn: open.conn,
                backend: open.backend,
                until: Instant::now() + limit + END_PATIENCE,
            }));
        }
    }
}

impl<S> OpenSession<S> {
    /// What is due before a use: a check of the schema, and new plans.
    async fn prepare(&mut self, session_use: SessionUse) -> Result<(), sqlx::Error> {
        let now = generation();
        if session_use == SessionUse::Write && self.checked != Some(now) {
            self.checked = None;
            schema::join(&mut self.conn).await?;
            self.checked = Some(now);
        }
        self.plans.discard_old_plans(&mut self.conn).await
    }
}

/// Connects, terminates a server process that was left behind, and joins the writers. A
/// connection that is not admitted is returned, too: its server process has to be ended.
async fn admit(
    connect: impl Future<Output = Result<Connected, sqlx::Error>>,
    session_use: SessionUse,
    left_behind: Option<String>,
) -> Result<NewConnection, sqlx::Error> {
    let mut connected = connect.await?;
    let now = generation();
    let admitted = async {
        if let Some(backend) = left_behind {
            connection::terminate(&mut connected.conn, &backend).await?;
        }
        match session_use {
            SessionUse::Read => Ok(()),
            SessionUse::Write => schema::join(&mut connected.conn).await,
        }
    };
    let refusal = admitted.await.err();
    Ok(NewConnection {
        connected,
        checked: refusal.is_none().then_some(now),
        refusal,
    })
}

impl<S> SessionInUse<'_, S> {
    /// The connection.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.conn
    }

    /// Runs one transaction.
    ///
    /// # Errors
    /// That of `work`, or of the database.
    pub async fn transaction<T, E: From<sqlx::Error>>(
        self,
        work: impl AsyncFnOnce(&mut PgConnection, &mut S) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = begin(self.conn, self.limit, self.wanted).await?;
        let value = work(&mut tx, self.state).await?;
        tx.commit().await?;
        *self.limit = Some(self.wanted);
        Ok(value)
    }
}

/// Begins a transaction, and tells the server the limit if it does not know it yet.
async fn begin<'c>(
    conn: &'c mut PgConnection,
    known: &mut Option<Duration>,
    wanted: Duration,
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    if *known == Some(wanted) {
        return conn.begin().await;
    }
    *known = None;
    conn.begin_with(connection::begin_with(wanted)).await
}

/// Whether the connection is as good as before, although the database counts as away.
fn is_harmless(error: &sqlx::Error) -> bool {
    // The server has cancelled the statement, because of our limit or for an operator.
    is_unfit(error) || error.as_database_error().is_some() && is_timeout(error)
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Closed => "closed",
            State::Connecting { .. } => "connecting",
            State::Open(_) => "open",
            State::Ending(_) => "ending",
        };
        f.debug_struct("Session")
            .field("name", &self.name)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
