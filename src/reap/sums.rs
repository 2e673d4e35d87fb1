//! The sums of statistics, which have names of users.

use sqlx::{Connection as _, PgConnection};

/// The key of the lock that whoever sums up holds (`fill_run_sums`).
const SUMS_LOCK: (i32, i32) = (1_920_204_803, 0);

/// What became of sums that no longer hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SumsState {
    /// There are none.
    Gone,
    /// This role cannot delete them. They go when a daemon sums up again.
    Left,
}

/// Deletes the sums that no longer hold because runs were deleted. Nobody reads them, but they
/// name users.
///
/// # Errors
/// If the database fails.
pub(super) async fn forget_sums(conn: &mut PgConnection) -> Result<SumsState, sqlx::Error> {
    let mut tx = conn.begin().await?;
    // Whoever sums up meanwhile might write names of the time before.
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(SUMS_LOCK.0)
        .bind(SUMS_LOCK.1)
        .execute(&mut *tx)
        .await?;
    let may_delete: bool = sqlx::query_scalar(include_str!("may_delete_sums.sql"))
        .fetch_one(&mut *tx)
        .await?;
    if !may_delete {
        let left: bool = sqlx::query_scalar(include_str!("has_old_sums.sql"))
            .fetch_one(&mut *tx)
            .await?;
        return Ok(if left {
            SumsState::Left
        } else {
            SumsState::Gone
        });
    }
    for statement in [
        include_str!("old_sums.sql"),
        include_str!("old_sums_days.sql"),
    ] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(SumsState::Gone)
}
