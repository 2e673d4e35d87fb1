//! The reference: the same rows, written with COPY over plain connections. It does no more
//! work than psql's `\copy`.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::database::ScratchDatabase;
use super::rows::CopyTransaction;

/// Bytes per CopyData message. Larger and smaller messages were no faster.
const COPY_DATA_BYTES: usize = 256 << 10;

/// Copies each plan over its own connection. Returns the time from the first `BEGIN` to the
/// last `COMMIT`.
///
/// # Errors
/// When Postgres refuses a statement or a connection fails.
pub async fn copy_all(
    scratch: &ScratchDatabase,
    plans: Vec<Vec<CopyTransaction>>,
) -> anyhow::Result<Duration> {
    let mut ready = Vec::new();
    for transactions in plans {
        ready.push((scratch.connect().await?, transactions));
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (conn, transactions) in ready {
        tasks.spawn(copy_transactions(conn, transactions));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begin.elapsed())
}

async fn copy_transactions(
    mut conn: PgConnection,
    transactions: Vec<CopyTransaction>,
) -> Result<(), sqlx::Error> {
    for transaction in transactions {
        let mut tx = conn.begin().await?;
        for copy in transaction {
            let mut sink = tx.copy_in_raw(&copy.statement).await?;
            for chunk in copy.stream.chunks(COPY_DATA_BYTES) {
                sink.send(chunk).await?;
            }
            sink.finish().await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Times `count` single-row transactions, one after the other: the cost of a durable commit
/// on an idle server.
///
/// # Errors
/// When Postgres refuses a statement or a connection fails.
pub async fn single_commits(
    scratch: &ScratchDatabase,
    count: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut conn = scratch.connect().await?;
    let mut durations = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        sqlx::query("INSERT INTO agent_runs (id, agent_id, agent_type) VALUES (gen_random_uuid(), 'x', 'x')")
            .execute(&mut conn)
            .await?;
        durations.push(begin.elapsed());
    }
    Ok(durations)
}
