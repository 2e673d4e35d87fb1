//! A store on several servers: each database notes which server it is.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use crate::store::schema::EPOCH_LOCK_CLASS;
use crate::store::servers::{StorePlace, StoreServer};

/// How long to wait for sessions that write. That of the migration ends by itself.
const WRITERS_LIMIT: Duration = Duration::from_secs(5);
const WRITERS_PAUSE: Duration = Duration::from_millis(50);

/// Why a database cannot be a server of a store.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// The store that these databases make, in this order. It is a new one if they belong to none.
///
/// # Errors
/// If they belong to different stores, the order is another one, or a database without a store has
/// rows: its runs would not be where they are looked for. Each number comes with what the database
/// says of itself.
pub fn common_store(found: &[(StoreServer, Option<StorePlace>)]) -> Result<Uuid, JoinError> {
    let mut store = None;
    for (server, place) in found {
        let Some(place) = place else { continue };
        if place.server != *server {
            return Err(JoinError::Refused(format!(
                "the database that was given as server {server} is server {} of its store: give all of them, in their \
                 order; their number cannot change",
                place.server
            )));
        }
        if *store.get_or_insert(place.store) != place.store {
            return Err(JoinError::Refused(format!(
                "server {server} belongs to another store than those before it"
            )));
        }
    }
    Ok(store.unwrap_or_else(Uuid::new_v4))
}

/// Whether a database has sessions or runs.
///
/// # Errors
/// If the database fails.
pub async fn has_traces(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let tables: bool = sqlx::query_scalar(
        "SELECT to_regclass('public.agent_runs') IS NOT NULL AND to_regclass('public.agent_sessions') IS NOT NULL",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !tables {
        return Ok(false);
    }
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.agent_runs) OR EXISTS (SELECT FROM public.agent_sessions)",
    )
    .fetch_one(conn)
    .await
}

/// Waits until nobody has a session that writes: it would not look at the place of the database again.
async fn wait_for_writers(conn: &mut PgConnection) -> Result<(), JoinError> {
    let begun = Instant::now();
    loop {
        // `objsubid` 2 is the form with two integers.
        let writes: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = $1::integer
               AND pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .bind(EPOCH_LOCK_CLASS)
        .fetch_one(&mut *conn)
        .await?;
        if !writes {
            return Ok(());
        }
        if begun.elapsed() > WRITERS_LIMIT {
            return Err(JoinError::Refused(
                "a daemon is connected to the database: stop it, and run this again".to_owned(),
            ));
        }
        sleep(WRITERS_PAUSE).await;
    }
}

/// Notes that a database is a server of a store, unless it says so already.
///
/// # Errors
/// If the database has rows of its own, or fails.
pub async fn join_store(
    conn: &mut PgConnection,
    store: Uuid,
    server: StoreServer,
) -> Result<(), JoinError> {
    wait_for_writers(conn).await?;
    let mut tx = conn.begin().await?;
    // Of two commands at once, the second sees what the first has done.
    sqlx::query("LOCK TABLE public.agent_runs, public.agent_sessions IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *tx)
        .await?;
    let place = StorePlace { store, server };
    match StorePlace::find(&mut tx).await? {
        Some(there) if there == place => return Ok(()),
        Some(_) => {
            return Err(JoinError::Refused(
                "somebody else has made the database a server of a store meanwhile".to_owned(),
            ));
        }
        None if has_traces(&mut tx).await? => {
            return Err(JoinError::Refused(
                "the database has traces already, and a store on several servers begins empty"
                    .to_owned(),
            ));
        }
        None => {}
    }
    // Neither the id nor the numbers have characters that need quotes.
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE FUNCTION public.store_server() RETURNS text LANGUAGE sql IMMUTABLE SET search_path = '' AS \
           $$ SELECT '{store} {server}' $$;
         COMMENT ON FUNCTION public.store_server() IS 'The id of the store that this database belongs to, and which of its servers it is: 2/3 is the second of three.';
         GRANT EXECUTE ON FUNCTION public.store_server() TO PUBLIC"
    )))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_make_a_store_only_in_their_order_and_all_of_them() {
        let all: Vec<StoreServer> = StoreServer::all(2).collect();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let place = |store, server| Some(StorePlace { store, server });
        let of = |first, second| common_store(&[(all[0], first), (all[1], second)]).ok();
        assert!(of(None, None).is_some());
        assert_eq!(
            of(None, place(one, all[1])),
            Some(one),
            "an interrupted command goes on"
        );
        assert_eq!(of(place(one, all[0]), place(one, all[1])), Some(one));
        assert_eq!(
            of(place(one, all[1]), place(one, all[0])),
            None,
            "another order"
        );
        assert_eq!(
            of(place(one, all[0]), place(two, all[1])),
            None,
            "two stores"
        );
        let third = StoreServer::all(3).next();
        assert_eq!(
            of(third.and_then(|third| place(one, third)), None),
            None,
            "one is missing"
        );
    }
}
