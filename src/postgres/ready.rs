//! Waits until the server accepts connections, and creates the database.

use std::time::Duration;

use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    connection::ConnectionInfo,
    constants::{DATABASE, ROLE},
    error::PrivateError,
    files,
    layout::Layout,
    process::Postmaster,
};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The limit of one attempt. A suspended server accepts a connection and never answers.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The SQLSTATE `duplicate_database`.
const DUPLICATE_DATABASE: &str = "42P04";

/// Waits up to `limit` until the server accepts connections on the socket.
pub(super) async fn wait(
    postmaster: &mut Postmaster,
    layout: &Layout,
    info: &ConnectionInfo,
    limit: Duration,
) -> Result<PgConnection, PrivateError> {
    let begin = Instant::now();
    loop {
        if let Ok(Ok(connection)) = timeout(CONNECT_LIMIT, connect(info)).await {
            return Ok(connection);
        }
        if !postmaster.is_alive() {
            let (log, tail) = files::log_tail(layout, postmaster.log_from);
            return Err(PrivateError::Exited { log, tail });
        }
        if begin.elapsed() >= limit {
            let (log, tail) = files::log_tail(layout, postmaster.log_from);
            return Err(PrivateError::NotReady {
                seconds: limit.as_secs(),
                log,
                tail,
            });
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn connect(info: &ConnectionInfo) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(&info.socket_dir)
        .port(info.port)
        .username(ROLE)
        .ssl_mode(PgSslMode::Disable)
        .database("postgres");
    PgConnection::connect_with(&options).await
}

/// Creates the database if it does not exist.
pub(super) async fn ensure_database(mut connection: PgConnection) -> Result<(), PrivateError> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await
            .map_err(refused("list its databases"))?;
    if !exists {
        create_database(&mut connection).await?;
    }
    connection
        .close()
        .await
        .map_err(refused("close a connection"))
}

async fn create_database(connection: &mut PgConnection) -> Result<(), PrivateError> {
    let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"));
    match sqlx::query(statement).execute(connection).await {
        Ok(_) => Ok(()),
        // Another process created it first.
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(DUPLICATE_DATABASE) =>
        {
            Ok(())
        }
        Err(error) => Err(refused("create the database")(error)),
    }
}

fn refused(what: &'static str) -> impl FnOnce(sqlx::Error) -> PrivateError {
    move |source| PrivateError::Refused { what, source }
}
