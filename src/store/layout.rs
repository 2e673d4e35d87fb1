//! How the database keeps its rows.

use sqlx::PgConnection;

/// How the database keeps the rows below runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceLayout {
    /// Each table is one.
    Plain,
    /// Tables have partitions by month.
    ByMonth,
}

impl TraceLayout {
    /// Asks the database.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let by_month = sqlx::query_scalar("SELECT to_regclass('public.agent_months') IS NOT NULL")
            .fetch_one(conn)
            .await?;
        Ok(if by_month { Self::ByMonth } else { Self::Plain })
    }
}
