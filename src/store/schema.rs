//! The schema that this version writes, and the rules by which it writes it.

use std::sync::LazyLock;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlStr};

use super::error::Unfit;
use super::servers::{StorePlace, StoreServer};

/// Every migration of `migrations/`.
pub static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(MIGRATION_FILES.iter().map(migration).collect()));

// `MIGRATION_FILES`, which build.rs lists. `sqlx::migrate!` would build sqlx a second time.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The migration in a file of the name `0001_initial.up.sql`.
fn migration(&(name, sql): &(&str, &'static str)) -> Migration {
    let (version, rest) = name.split_once('_').unwrap_or((name, ""));
    let description = rest.split('.').next().unwrap_or_default().replace('_', " ");
    Migration::new(
        version.parse().unwrap_or_default(),
        description.into(),
        MigrationType::from_filename(name),
        SqlStr::from_static(sql),
        sql.starts_with("-- no-transaction"),
    )
}

/// The epoch of the rules by which daemons write: how events merge, and what the column
/// `summed_by` means. Daemons of two epochs would spoil each other's rows. Whoever changes
/// the rules adds one, with a migration that makes `ingest_write_epoch()` return it.
pub const WRITE_EPOCH: i32 = 4;

/// In the layout in slots, the epoch in the database is greater by this. Versions that do not know
/// slots would take views for tables.
const IN_SLOTS: i32 = 10_000;

/// The epoch in the database while rows move to slots.
const MOVING: i32 = 0;

/// The class of the advisory locks that say who writes: each writing session shares the
/// lock (class, epoch) until its server process exits.
pub const EPOCH_LOCK_CLASS: i32 = 0x7274_0001;

/// Whether the schema and the rules in the database are those of this version, and
/// nobody writes by others.
///
/// # Errors
/// [`Unfit`], as a configuration error, and errors of the database.
pub async fn check(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let there: bool = sqlx::query_scalar(
        "SELECT to_regprocedure('public.ingest_migrations()') IS NOT NULL
            AND to_regprocedure('public.ingest_write_epoch()') IS NOT NULL
            AND to_regclass('public._sqlx_migrations') IS NOT NULL",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !there {
        return Err(Unfit::Behind.into());
    }
    check_known(conn).await
}

/// The same in a schema that can be asked.
async fn check_known(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let (applied, epoch, meant, is_placed): (Vec<i64>, i32, Option<String>, bool) = sqlx::query_as(
        "SELECT public.ingest_migrations(), public.ingest_write_epoch(), current_setting('runtraced.server', true),
                to_regprocedure('public.store_server()') IS NOT NULL",
    )
    .fetch_one(&mut *conn)
    .await?;
    if MIGRATIONS
        .iter()
        .any(|migration| !applied.contains(&migration.version))
    {
        return Err(Unfit::Behind.into());
    }
    if epoch == MOVING {
        return Err(Unfit::Moving.into());
    }
    if epoch != WRITE_EPOCH && epoch != IN_SLOTS + WRITE_EPOCH {
        return Err(Unfit::Epoch {
            ours: WRITE_EPOCH,
            theirs: epoch,
        }
        .into());
    }
    check_place(conn, meant.as_deref(), is_placed).await?;
    check_others(conn).await
}

/// Whether a connection leads to the server of the store that it is meant for. On another one, a daemon would write runs where
/// nobody looks for them.
///
/// # Errors
/// [`Unfit`], as a configuration error, and errors of the database.
pub async fn check_server(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let (meant, is_placed): (Option<String>, bool) = sqlx::query_as(
        "SELECT current_setting('runtraced.server', true), to_regprocedure('public.store_server()') IS NOT NULL",
    )
    .fetch_one(&mut *conn)
    .await?;
    check_place(conn, meant.as_deref(), is_placed).await
}

/// The same; `meant` is the setting of the connection, and `is_placed` whether the database says which server it is.
async fn check_place(
    conn: &mut PgConnection,
    meant: Option<&str>,
    is_placed: bool,
) -> Result<(), sqlx::Error> {
    let meant = StoreServer::meant(meant)?;
    let place = match is_placed {
        true => StorePlace::find(conn).await?,
        false => None,
    };
    let there = place.map_or(StoreServer::ALONE, |place| place.server);
    if there != meant {
        return Err(Unfit::Server { there, meant }.into());
    }
    match place.is_none_or(StorePlace::is_of_this_process) {
        true => Ok(()),
        false => Err(Unfit::OtherStore.into()),
    }
}

/// Whether a database may be brought up to date: it is no other server of a store than the connection is meant for. An empty one
/// may become one.
///
/// # Errors
/// As [`check_server`].
pub async fn check_before_migration(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let is_placed: bool =
        sqlx::query_scalar("SELECT to_regprocedure('public.store_server()') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    match is_placed {
        true => check_server(conn).await,
        false => Ok(()),
    }
}

/// Whether nobody writes by the rules of another epoch.
async fn check_others(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // `objsubid` 2 is the form with two integers.
    let theirs: Option<i32> = sqlx::query_scalar(
        "SELECT min(objid::bigint)::integer FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 2
           AND classid::bigint = $1::integer AND objid::bigint <> $2::integer
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(EPOCH_LOCK_CLASS)
    .bind(WRITE_EPOCH)
    .fetch_one(conn)
    .await?;
    match theirs {
        None => Ok(()),
        Some(theirs) => Err(Unfit::Daemon {
            ours: WRITE_EPOCH,
            theirs,
        }
        .into()),
    }
}

/// Joins those who write by the rules of this epoch, until the connection is closed.
///
/// Of two daemons of different epochs that join at once, each takes its lock first and
/// looks for the other's then. So at least one sees the other, and leaves.
///
/// # Errors
/// As [`check`].
pub async fn join(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // First without the lock, which would keep the others from joining.
    check(conn).await?;
    lock_epoch(conn).await?;
    let checked = check_known(conn).await;
    leave_unless(conn, checked).await
}

/// The same for who brings the schema up to date, and so does not ask for it.
///
/// # Errors
/// As [`check`].
pub async fn join_to_migrate(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    check_others(conn).await?;
    lock_epoch(conn).await?;
    let checked = check_others(conn).await;
    leave_unless(conn, checked).await
}

async fn lock_epoch(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock_shared($1, $2)")
        .bind(EPOCH_LOCK_CLASS)
        .bind(WRITE_EPOCH)
        .execute(conn)
        .await?;
    Ok(())
}

async fn leave_unless(
    conn: &mut PgConnection,
    checked: Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    if checked.is_err() {
        sqlx::query("SELECT pg_advisory_unlock_all()")
            .execute(conn)
            .await?;
    }
    checked
}
