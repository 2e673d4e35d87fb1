//! What is in no slot, measured alone: the ledger, sessions, and the sums of runs.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::bench::database::ScratchDatabase;
use crate::bench::process::cpu_seconds;
use crate::capacity::{CostPoint, WorkCost};

/// Transactions of each size.
const TRANSACTIONS: u32 = 400;
/// Sessions in a transaction of the first and of the second size.
const FEW_SESSIONS: u32 = 1;
const MANY_SESSIONS: u32 = 17;
/// Runs that one call sums up, and the most of one quarter of an hour.
const RUNS: i64 = 3_000;
const DENSEST: i64 = 10_000_000;
/// Calls after which it ends, even if there is more to do.
const MOST_CALLS: usize = 1_000;
/// The counts in a row of the ledger.
const LEDGER_COUNTS: usize = 7;
/// When sessions were named.
const TIME: &str = "2026-01-01T00:00:00Z";
const MICROS_PER_SECOND: f64 = 1e6;

/// What a writer's session sets for its plans.
const AS_WRITERS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET work_mem = '32MB'";
const ENSURE_SESSIONS: &str = include_str!("../../store/sql/ensure_sessions.sql");
const PATCH_SESSIONS: &str = include_str!("../../store/sql/patch_sessions.sql");
const WRITE_LEDGER: &str = include_str!("../../store/sql/write_ledger.sql");

/// The CPU time of a session of Postgres.
struct MeasuredSession {
    conn: PgConnection,
    pid: u32,
    /// Whose row of the ledger it writes.
    instance: Uuid,
}

impl MeasuredSession {
    async fn open(scratch: &ScratchDatabase) -> anyhow::Result<Self> {
        let mut conn = scratch.connect().await?;
        sqlx::raw_sql(AS_WRITERS).execute(&mut conn).await?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut conn)
            .await?;
        Ok(Self {
            conn,
            pid: pid.try_into()?,
            instance: Uuid::now_v7(),
        })
    }

    fn micros(&self) -> f64 {
        cpu_seconds(self.pid, false) * MICROS_PER_SECOND
    }
}

/// A transaction with a row of the ledger and the statements for sessions, as `per_transaction`, and what each
/// session adds, as `per_event`; in microseconds of Postgres. The statements are those of writers. The tables are emptied first.
///
/// # Errors
/// When the server is unreachable.
pub(super) async fn measure_ledger_and_sessions(
    scratch: &ScratchDatabase,
) -> anyhow::Result<WorkCost> {
    scratch.truncate().await?;
    let mut session = MeasuredSession::open(scratch).await?;
    // Makes plans.
    write(&mut session, FEW_SESSIONS).await?;
    let mut points = Vec::new();
    for sessions in [MANY_SESSIONS, FEW_SESSIONS] {
        let before = session.micros();
        for _ in 0..TRANSACTIONS {
            write(&mut session, sessions).await?;
        }
        let all = f64::from(TRANSACTIONS) * f64::from(sessions);
        points.push(CostPoint {
            micros: (session.micros() - before) / all,
            transactions: 1.0 / f64::from(sessions),
        });
    }
    Ok(WorkCost::of_two(points[0], points[1]))
}

/// One transaction, with so many new sessions.
async fn write(session: &mut MeasuredSession, sessions: u32) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = (0..sessions).map(|_| Uuid::now_v7()).collect();
    let titles: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    let times = vec![TIME; ids.len()];
    let no_ids = vec![None::<Uuid>; ids.len()];
    let no_texts = vec![None::<&str>; ids.len()];
    let mut tx = session.conn.begin().await?;
    sqlx::query(ENSURE_SESSIONS)
        .bind(&ids)
        .bind(&times)
        .bind(vec![true; ids.len()])
        .bind(&no_ids)
        .execute(&mut *tx)
        .await?;
    // Titles alone: customers and users must exist to be looked up.
    sqlx::query(PATCH_SESSIONS)
        .bind(&ids)
        .bind(&times)
        .bind(&no_ids)
        .bind(&no_ids)
        .bind(&titles)
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&times)
        .bind(&no_texts)
        .bind(&no_texts)
        .execute(&mut *tx)
        .await?;
    let mut ledger = sqlx::query(WRITE_LEDGER).bind(session.instance).bind(0_i32);
    for _ in 0..LEDGER_COUNTS {
        ledger = ledger.bind(1_i64);
    }
    ledger.execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// How often sessions are named: once by themselves and once by each of their runs.
///
/// # Errors
/// When the server is unreachable.
pub(super) async fn count_session_names(scratch: &ScratchDatabase) -> anyhow::Result<f64> {
    let mut conn = scratch.connect().await?;
    let names = "SELECT ((SELECT count(*) FROM agent_sessions) \
                 + (SELECT count(*) FROM agent_runs WHERE session_id IS NOT NULL))::double precision";
    Ok(sqlx::query_scalar(names).fetch_one(&mut conn).await?)
}

/// What it takes to sum up all runs that are there, in microseconds of Postgres.
///
/// # Errors
/// When the server is unreachable.
pub(super) async fn measure_sums(scratch: &ScratchDatabase) -> anyhow::Result<f64> {
    let mut session = MeasuredSession::open(scratch).await?;
    let before = session.micros();
    for _ in 0..MOST_CALLS {
        let fill = "SELECT public.fill_run_sums($1, $2, interval '0')";
        let fill = sqlx::query_scalar(fill).bind(RUNS).bind(DENSEST);
        let done: i64 = fill.fetch_one(&mut session.conn).await?;
        if done == 0 {
            break;
        }
    }
    Ok(session.micros() - before)
}
