//! The layout in slots, which `migrate --slots` makes: the tables of runs move to the schemas of the
//! slots, and their names in `public` become views.
//!
//! Nobody writes to these tables while their rows move: daemons spool, and others are refused. Each
//! step is a transaction that notes that it is done, so an interrupted move goes on where it was.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

use super::patience::{
    in_one_transaction, lock_layout, patiently, patiently_undone, unlock_layout,
};
use crate::store::error::{is_outage, reason, sqlstate};
use crate::store::layout::{SLOT_TABLES, SlotCount, TraceLayout};
use crate::store::schema::EPOCH_LOCK_CLASS;

const PREPARE: [&str; 2] = [
    include_str!("slots/functions.sql"),
    include_str!("slots/prepare.sql"),
];
const SWAP: [&str; 3] = [
    include_str!("slots/swap.sql"),
    include_str!("slots/release.sql"),
    include_str!("slots/follow_migrations.sql"),
];

/// How long to wait for daemons to end their sessions.
const DAEMONS_LIMIT: Duration = Duration::from_secs(30);
const DAEMONS_PAUSE: Duration = Duration::from_millis(100);

/// What is told of a move while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotMove {
    /// From now on nobody writes to the tables.
    Begun,
    /// An interrupted move goes on.
    Resumed,
    /// The rows of a table were copied to all slots.
    Copied {
        /// The table.
        table: &'static str,
        /// Its rows.
        rows: i64,
        /// How long it took.
        took: Duration,
    },
    /// The tables of all slots have their indexes, references, policies and rights.
    Completed {
        /// How long it took.
        took: Duration,
    },
    /// The names are views.
    Ended {
        /// For how long nobody could read or write.
        locked: Duration,
        /// For how long nobody could write, as far as this command knows.
        held: Duration,
    },
}

/// Why rows were not moved.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// Objects of the product would break; they are named.
    #[error("these would not go on to work if runs were in slots: {}", .0.join("; "))]
    Referred(Vec<String>),
    /// The database has another layout, or another move is under way.
    #[error("{0}")]
    Otherwise(String),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Moves all runs to `slots` slots, and tells how that goes on. Returns whether there was anything to
/// do. It may be interrupted, and be called again.
///
/// # Errors
/// If something of the product would break, daemons cannot be kept out, or a statement fails. No row
/// is lost.
pub async fn move_to_slots(
    conn: &mut PgConnection,
    slots: SlotCount,
    tell: impl FnMut(SlotMove),
) -> Result<bool, SlotError> {
    lock_layout(conn).await?;
    let moved = move_locked(conn, slots, tell).await;
    unlock_layout(conn).await?;
    moved
}

/// Gives up a move that was interrupted: the rows are where they were. Returns whether there was one.
///
/// # Errors
/// If the runs are in slots already, or a statement fails.
pub async fn leave_slot_move(conn: &mut PgConnection) -> Result<bool, SlotError> {
    lock_layout(conn).await?;
    let left = leave_locked(conn).await;
    unlock_layout(conn).await?;
    left
}

async fn leave_locked(conn: &mut PgConnection) -> Result<bool, SlotError> {
    if let TraceLayout::InSlots(there) = TraceLayout::find(conn).await? {
        return Err(SlotError::Otherwise(format!(
            "the runs are in {} slots, and there is no way back",
            there.get()
        )));
    }
    if slots_of_move(conn).await?.is_none() {
        return Ok(false);
    }
    const LEAVE: [&str; 2] = [
        include_str!("slots/cancel.sql"),
        include_str!("slots/release.sql"),
    ];
    prepare_session(conn).await?;
    patiently(conn, &LEAVE).await?;
    Ok(true)
}

async fn move_locked(
    conn: &mut PgConnection,
    slots: SlotCount,
    mut tell: impl FnMut(SlotMove),
) -> Result<bool, SlotError> {
    let count = slots.get();
    match TraceLayout::find(conn).await? {
        TraceLayout::InSlots(there) if there == slots => return Ok(false),
        TraceLayout::InSlots(there) => {
            return Err(SlotError::Otherwise(format!(
                "the runs are in {} slots, and the number of slots cannot change",
                there.get()
            )));
        }
        TraceLayout::ByMonth => {
            return Err(SlotError::Otherwise(
                "the tables have partitions by month; a database has either these or slots"
                    .to_owned(),
            ));
        }
        TraceLayout::Plain => {}
    }
    prepare_session(conn).await?;
    match slots_of_move(conn).await? {
        None => {
            refuse_obstacles(conn).await?;
            rehearse(conn).await?;
            let setting = format!("SET LOCAL runtraced.slots = {count}");
            patiently(conn, &[&setting, include_str!("slots/hold.sql")]).await?;
            tell(SlotMove::Begun);
        }
        Some(begun) if begun == i32::from(count) => tell(SlotMove::Resumed),
        Some(begun) => {
            return Err(SlotError::Otherwise(format!(
                "a move to {begun} slots has not ended: go on with --slots {begun}, or give it up with --slots 1"
            )));
        }
    }
    let held_from = Instant::now();
    end_daemons(conn).await?;
    let prepared: bool =
        sqlx::query_scalar("SELECT to_regprocedure('public.run_slot(uuid)') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if !prepared {
        patiently(conn, &PREPARE).await?;
    }
    for table in SLOT_TABLES {
        let begun = Instant::now();
        for slot in 0..count {
            step(conn, slot, table, include_str!("slots/copy_rows.sql")).await?;
        }
        let rows = check_copied(conn, table).await?;
        let took = begun.elapsed();
        tell(SlotMove::Copied { table, rows, took });
    }
    let begun = Instant::now();
    for slot in 0..count {
        step(conn, slot, "", include_str!("slots/complete_slot.sql")).await?;
    }
    tell(SlotMove::Completed {
        took: begun.elapsed(),
    });
    let locked = patiently(conn, &SWAP).await?;
    tell(SlotMove::Ended {
        locked,
        held: held_from.elapsed(),
    });
    Ok(true)
}

/// Who waits for the lock of a table holds up everybody behind it. All else takes as long as it takes.
/// Where row level security holds for the owner too, statements fail: they would not see all rows.
async fn prepare_session(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SET statement_timeout = 0; SET lock_timeout = '2s'; SET row_security = off;
         SET maintenance_work_mem = '256MB'",
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn refuse_obstacles(conn: &mut PgConnection) -> Result<(), SlotError> {
    let referring: Vec<String> = sqlx::query_scalar(include_str!("slots/obstacles.sql"))
        .fetch_all(conn)
        .await?;
    match referring.is_empty() {
        true => Ok(()),
        false => Err(SlotError::Referred(referring)),
    }
}

/// Does all but copying rows, and takes it back: what fails now would fail when nobody can write.
async fn rehearse(conn: &mut PgConnection) -> Result<(), SlotError> {
    const FEW: u8 = 2;
    let mut statements = vec![
        format!("SET LOCAL runtraced.slots = {FEW}"),
        include_str!("slots/hold.sql").to_owned(),
    ];
    statements.extend(PREPARE.map(str::to_owned));
    for slot in 0..FEW {
        statements.push(settings_of(slot, ""));
        statements.push(include_str!("slots/complete_slot.sql").to_owned());
    }
    statements.extend(SWAP.map(str::to_owned));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    patiently_undone(conn, &statements).await.map_err(|error| {
        match error.as_database_error().is_some() && !is_outage(&error) {
            true => SlotError::Otherwise(format!(
                "moving the runs would fail, and nothing has changed: {}",
                reason(&error)
            )),
            false => error.into(),
        }
    })
}

fn settings_of(slot: u8, table: &str) -> String {
    format!("SET LOCAL runtraced.slot = {slot}; SET LOCAL runtraced.table_name = '{table}'")
}

/// To how many slots rows are moving; `None`: no move has begun.
async fn slots_of_move(conn: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    let moving: bool =
        sqlx::query_scalar("SELECT to_regclass('public.agent_slot_moves') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if !moving {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT slots FROM public.agent_slot_moves WHERE slot = -1")
        .fetch_optional(conn)
        .await
}

/// Ends the sessions that write, so that they look at the schema again. Those that connect now are
/// refused.
async fn end_daemons(conn: &mut PgConnection) -> Result<(), SlotError> {
    let begun = Instant::now();
    loop {
        // `objsubid` 2 is the form with two integers.
        let ended: Result<Vec<bool>, sqlx::Error> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid) FROM pg_locks
             WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = $1::integer AND pid <> pg_backend_pid()
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .bind(EPOCH_LOCK_CLASS)
        .fetch_all(&mut *conn)
        .await;
        match ended {
            Ok(ended) if ended.is_empty() => return Ok(()),
            Ok(_) if begun.elapsed() < DAEMONS_LIMIT => sleep(DAEMONS_PAUSE).await,
            Ok(_) => {
                return Err(SlotError::Otherwise(
                    "daemons do not end their sessions: stop them, and run this again".to_owned(),
                ));
            }
            Err(error) if sqlstate(&error) == "42501" => {
                return Err(SlotError::Otherwise(
                    "this role may not end the sessions of daemons: stop them, and run this again"
                        .to_owned(),
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes one step of a slot in a transaction, unless it is done.
async fn step(
    conn: &mut PgConnection,
    slot: u8,
    table: &str,
    statement: &str,
) -> Result<(), sqlx::Error> {
    let done: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.agent_slot_moves WHERE slot = $1 AND table_name = $2)",
    )
    .bind(i32::from(slot))
    .bind(table)
    .fetch_one(&mut *conn)
    .await?;
    if done {
        return Ok(());
    }
    patiently(conn, &[&settings_of(slot, table), statement]).await?;
    Ok(())
}

/// Whether all rows of a table were copied. Returns how many there are.
async fn check_copied(conn: &mut PgConnection, table: &str) -> Result<i64, SlotError> {
    let (copied, there): (i64, i64) = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT (SELECT sum(moved_rows)::bigint FROM public.agent_slot_moves WHERE table_name = '{table}'),
                (SELECT count(*) FROM public.{table})"
    )))
    .fetch_one(conn)
    .await?;
    match copied == there {
        true => Ok(copied),
        false => Err(SlotError::Otherwise(format!(
            "{table} has {there} rows, and {copied} of them were copied; give the move up with --slots 1"
        ))),
    }
}

/// What the layout in slots needs again after a migration; nothing in other layouts.
///
/// # Errors
/// If a statement fails.
pub(super) async fn after_migration(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    if let TraceLayout::InSlots(_) = TraceLayout::find(conn).await? {
        const FOLLOW: &str = include_str!("slots/follow_migrations.sql");
        in_one_transaction(conn, &[FOLLOW]).await?;
    }
    Ok(())
}
