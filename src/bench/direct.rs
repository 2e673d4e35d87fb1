//! The limit: the same rows, COPYed by plain connections. As short as psql's
//! `\copy`: what it does is all that is needed.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::database::Scratch;
use super::rows::Transaction;

/// Of one message; larger and smaller ones were no faster.
const CHUNK_BYTES: usize = 256 << 10;

/// Copies each lane over a connection of its own; returns how long it took.
///
/// # Errors
/// When Postgres refuses something.
pub async fn copy_all(scratch: &Scratch, lanes: Vec<Vec<Transaction>>) -> anyhow::Result<Duration> {
    let mut ready = Vec::new();
    for lane in lanes {
        ready.push((scratch.connect().await?, lane));
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (conn, lane) in ready {
        tasks.spawn(copy_lane(conn, lane));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begin.elapsed())
}

async fn copy_lane(mut conn: PgConnection, lane: Vec<Transaction>) -> Result<(), sqlx::Error> {
    for transaction in lane {
        let mut tx = conn.begin().await?;
        for copy in transaction {
            let mut sink = tx.copy_in_raw(&copy.statement).await?;
            for chunk in copy.stream.chunks(CHUNK_BYTES) {
                sink.send(chunk).await?;
            }
            sink.finish().await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// What one durable commit costs when nothing else happens: single-row
/// transactions one after the other, each timed.
///
/// # Errors
/// When Postgres refuses something.
pub async fn single_commits(scratch: &Scratch, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut conn = scratch.connect().await?;
    let mut waits = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        sqlx::query("INSERT INTO agent_runs (id, agent_id, agent_type) VALUES (gen_random_uuid(), 'x', 'x')")
            .execute(&mut conn)
            .await?;
        waits.push(begin.elapsed());
    }
    Ok(waits)
}
