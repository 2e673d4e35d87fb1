//! Keeps the table of keys as the database has it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::{Keeper, KeptKeys, KeyTable};
use crate::store::{self, Session, SessionUse};

/// How soon a new or revoked key is noticed.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same until the keys are known at all.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
/// How long the database may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the keys again and again, until stopped. While the database is away those
/// that were valid stay so: agents are not to notice an outage. They are kept for
/// the next start, if there is where.
pub async fn refresh_keys(
    database: PgConnectOptions,
    table: Arc<KeyTable>,
    kept: Option<KeptKeys>,
    stop: CancellationToken,
) {
    let mut keeper = kept.map(Keeper::new);
    if let Some(keeper) = &mut keeper {
        keeper.recall(&table);
    }
    let read = SessionUse::Read;
    let mut session = Session::new(database, "runtraced keys", read, TIMEOUT, || ());
    let mut told = false;
    loop {
        let loaded = async {
            let keys = store::load_keys(session.acquire().await?.conn()).await;
            session.release(keys.as_ref().err());
            keys
        };
        match timeout(TIMEOUT, loaded).await {
            Ok(Ok(keys)) => {
                told = false;
                if table.replace(keys.clone()) {
                    tracing::info!(valid = keys.len(), "the keys have changed");
                }
                if let Some(keeper) = &mut keeper {
                    keeper.want(keys);
                }
            }
            Ok(Err(error)) if needs_a_person(&error) => {
                if !std::mem::replace(&mut told, true) {
                    // ERROR: a person is needed, or new keys never become valid.
                    tracing::error!(error = %store::reason(&error), "the keys cannot be read");
                }
            }
            Ok(Err(error)) => tracing::debug!(error = %store::reason(&error), "keys not read"),
            Err(_) => tracing::debug!("keys not read in time"),
        }
        if let Some(keeper) = &mut keeper {
            keeper.turn().await;
        }
        let interval = match table.valid() {
            Some(_) => INTERVAL,
            None => FIRST_INTERVAL,
        };
        tokio::select! {
            () = sleep(interval) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The database is there and will go on refusing: no right to read the table, or
/// something in it that is none.
fn needs_a_person(error: &sqlx::Error) -> bool {
    let refused = store::sqlstate(error).starts_with("42") && !store::is_not_migrated(error);
    refused
        || matches!(
            error,
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
        )
}
