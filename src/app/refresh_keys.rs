//! Keeps the key table up to date with the database.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::{KeyCache, KeyCacheWriter, KeyTable};
use crate::store::{self, Session, SessionUse};

/// How often the keys are read: new and revoked keys take effect after this time.
const INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two loads when a request presents a key that is not loaded.
const EARLY_INTERVAL: Duration = Duration::from_millis(250);
/// Early loads take at most one part of this many of the time of the database.
const EARLY_SHARE: u32 = 10;
/// How often the keys are tried until they are read for the first time.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
/// How long the database may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The SQLSTATE class for missing tables, columns and privileges.
const ACCESS_RULE_VIOLATION: &str = "42";

/// Reads the keys periodically until `stop`, and earlier for a key that is not loaded. While the database is away, the last known
/// keys stay valid, so agents do not notice the outage. `cache` keeps the keys for the
/// next start.
pub async fn refresh_keys(
    database: PgConnectOptions,
    table: Arc<KeyTable>,
    cache: Option<KeyCache>,
    stop: CancellationToken,
) {
    let mut cache = cache.map(KeyCacheWriter::new);
    if let Some(cache) = &mut cache {
        cache.load_into(&table);
    }
    let read = SessionUse::Read;
    let mut session = Session::new(database, "runtraced keys", read, TIMEOUT, || ());
    let mut logged = false;
    loop {
        let loaded = async {
            let mut open = session.acquire().await?;
            // Another database's keys are none of this store.
            let keys = match store::check_server(open.conn()).await {
                Ok(()) => store::load_keys(open.conn()).await,
                Err(error) => Err(error),
            };
            session.release(keys.as_ref().err());
            keys
        };
        table.lookups.begin_load();
        let begun = Instant::now();
        let loaded = timeout(TIMEOUT, loaded).await;
        let early = EARLY_INTERVAL.max(begun.elapsed() * EARLY_SHARE);
        let answered = matches!(loaded, Ok(Ok(_)));
        match loaded {
            Ok(Ok(keys)) => {
                logged = false;
                if table.replace(keys.clone()) {
                    tracing::info!(valid = keys.len(), "the keys have changed");
                }
                if let Some(cache) = &mut cache {
                    cache.set_latest(keys);
                }
            }
            Ok(Err(error)) if needs_operator(&error) => {
                if !std::mem::replace(&mut logged, true) {
                    // ERROR: until a person helps, new and revoked keys have no effect.
                    tracing::error!(error = %store::reason(&error), "cannot read the keys");
                }
            }
            Ok(Err(error)) => tracing::debug!(error = %store::reason(&error), "keys not read"),
            Err(_) => {
                session.give_up().await;
                tracing::debug!("keys not read in time");
            }
        }
        table.lookups.end_load(answered);
        if let Some(cache) = &mut cache {
            cache.poll().await;
        }
        let interval = match table.valid_count() {
            Some(_) => INTERVAL,
            None => FIRST_INTERVAL,
        };
        tokio::select! {
            () = sleep(interval) => {}
            () = async { sleep(early).await; table.lookups.wanted().await } => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Whether only a person can fix the error: the daemon may not read the table, or a row
/// holds no valid key.
fn needs_operator(error: &sqlx::Error) -> bool {
    let refused =
        store::sqlstate(error).starts_with(ACCESS_RULE_VIOLATION) && !store::is_not_migrated(error);
    refused
        || matches!(
            error,
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
        )
}
