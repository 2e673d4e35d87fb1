//! Deletes shared contents that no run of their scope needs any more.
//!
//! Deleting a run adds a row to `agent_stale_scopes`, whoever does it. Such a scope is looked at as a
//! whole, because another run may need what the deleted one had. A scope without runs goes too.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{is_in_the_way, limit_waits};
use super::pace::ReapPace;
use crate::store;

/// Rows of one transaction. Each finds out anew what is needed, which takes longer than to delete
/// a few thousand rows.
const SWEEP_ROWS: i64 = 20_000;
/// How often, and after how long, to look for scopes again that a writer has locked.
const LOOKS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Looks at every stale scope once. Returns how many stay, because somebody works on them.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn sweep_scopes(
    conn: &mut PgConnection,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<u64, sqlx::Error> {
    let (mut after, mut left) = (Uuid::nil(), 0);
    loop {
        let begun = Instant::now();
        let next: Option<Uuid> = sqlx::query_scalar(
            "SELECT scope_id FROM agent_stale_scopes WHERE scope_id > $1 ORDER BY scope_id LIMIT 1",
        )
        .bind(after)
        .fetch_optional(&mut *conn)
        .await?;
        let Some(scope) = next else {
            return Ok(left);
        };
        match sweep_slice(conn, scope).await {
            Ok((deleted, is_done)) => {
                done(RowCounts {
                    shared_contents: deleted,
                    ..RowCounts::default()
                });
                if is_done {
                    after = scope;
                }
            }
            Err(error) if is_in_the_way(&error) => {
                tracing::debug!(%scope, error = %store::reason(&error), "contents are not looked at yet");
                left += 1;
                after = scope;
            }
            Err(error) if super::is_canceled(&error) => {
                tracing::warn!(
                    %scope,
                    error = %store::reason(&error),
                    "contents that nothing needs stay: a session has too many; run `runtraced prune`"
                );
                left += 1;
                after = scope;
            }
            Err(error) => return Err(error),
        }
        pace.rest(begun).await;
    }
}

/// The same until none is left, or for some seconds. Returns how many stay.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn sweep_all_scopes(
    conn: &mut PgConnection,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<u64, sqlx::Error> {
    let mut left = sweep_scopes(conn, pace, &mut done).await?;
    for _ in 0..LOOKS {
        if left == 0 {
            break;
        }
        sleep(PAUSE).await;
        left = sweep_scopes(conn, pace, &mut done).await?;
    }
    Ok(left)
}

/// Deletes a bounded number of contents of a scope. Returns how many, and whether those were the
/// last.
async fn sweep_slice(conn: &mut PgConnection, scope: Uuid) -> Result<(u64, bool), sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_waits(&mut tx).await?;
    // A deletion that commits later leaves a row that this statement does not see.
    for statement in [
        "SELECT FROM agent_content_scopes WHERE id = $1 FOR UPDATE",
        "DELETE FROM agent_stale_scopes WHERE scope_id = $1",
    ] {
        sqlx::query(statement).bind(scope).execute(&mut *tx).await?;
    }
    let deleted: i64 = sqlx::query_scalar(include_str!("sweep_scope.sql"))
        .bind(scope)
        .bind(SWEEP_ROWS)
        .fetch_one(&mut *tx)
        .await?;
    let is_done = deleted < SWEEP_ROWS;
    let last = match is_done {
        true => {
            "DELETE FROM agent_content_scopes WHERE id = $1
             AND NOT EXISTS (SELECT FROM agent_run_scopes WHERE scope_id = $1)"
        }
        false => "INSERT INTO agent_stale_scopes (scope_id) VALUES ($1)",
    };
    sqlx::query(last).bind(scope).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok((deleted.unsigned_abs(), is_done))
}
