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

/// Scopes that may hold what nothing needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnsweptScopes {
    /// Somebody works on them.
    busy: u64,
    /// To look at them takes longer than a statement may.
    slow: u64,
}

/// Looks at every stale scope once.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn sweep_scopes(
    conn: &mut PgConnection,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<UnsweptScopes, sqlx::Error> {
    let (mut after, mut left) = (Uuid::nil(), UnsweptScopes::default());
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
        let is_done = match sweep_slice(conn, scope).await {
            Ok((shared_contents, is_done)) => {
                done(RowCounts {
                    shared_contents,
                    ..RowCounts::default()
                });
                is_done
            }
            Err(error) if super::is_canceled(&error) => {
                tracing::warn!(
                    %scope,
                    error = %store::reason(&error),
                    "a session has too many shared contents to look for those that nothing needs; run `runtraced prune`"
                );
                left.slow += 1;
                true
            }
            // A run was deleted meanwhile: what it had is not looked at yet.
            Err(error) if is_in_the_way(&error) || store::sqlstate(&error) == "23503" => {
                tracing::debug!(%scope, error = %store::reason(&error), "contents are not looked at yet");
                left.busy += 1;
                true
            }
            Err(error) => return Err(error),
        };
        if is_done {
            after = scope;
        }
        pace.rest(begun).await;
    }
}

/// The same until nobody works on any, or for some seconds. Returns how many stay.
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
        if left.busy == 0 || left.slow > 0 {
            break;
        }
        sleep(PAUSE).await;
        left = sweep_scopes(conn, pace, &mut done).await?;
    }
    Ok(left.busy + left.slow)
}

/// Deletes a bounded number of contents of a scope. Returns how many, and whether those were the
/// last.
async fn sweep_slice(conn: &mut PgConnection, scope: Uuid) -> Result<(u64, bool), sqlx::Error> {
    if forget_mark_of_clean(conn, scope).await? {
        return Ok((0, true));
    }
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
        true => include_str!("drop_scope.sql"),
        false => "INSERT INTO agent_stale_scopes (scope_id) VALUES ($1)",
    };
    sqlx::query(last).bind(scope).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok((deleted.unsigned_abs(), is_done))
}

/// Looks at a scope without its lock, which would hold up writers. If there is nothing to delete,
/// it is stale no longer. Returns whether that is so.
async fn forget_mark_of_clean(conn: &mut PgConnection, scope: Uuid) -> Result<bool, sqlx::Error> {
    let seen: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM agent_stale_scopes WHERE scope_id = $1")
            .bind(scope)
            .fetch_all(&mut *conn)
            .await?;
    let is_clean: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM agent_run_scopes WHERE scope_id = $1)
            AND NOT EXISTS (SELECT FROM unneeded_contents($1))",
    )
    .bind(scope)
    .fetch_one(&mut *conn)
    .await?;
    if is_clean {
        sqlx::query("DELETE FROM agent_stale_scopes WHERE id = ANY ($1)")
            .bind(seen)
            .execute(conn)
            .await?;
    }
    Ok(is_clean)
}
