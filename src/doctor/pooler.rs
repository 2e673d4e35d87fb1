//! Finds out whether a pooler in front of the database gives each transaction another server
//! process. Writers keep settings and locks in their session, so that does not work.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::finding::{Finding, failure, fine};

/// The server processes that two open connections saw: the first, then the second while it
/// is in a transaction, then the first again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenBackends {
    first: String,
    second: String,
    first_again: String,
}

pub(super) async fn examine(
    conn: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Finding, sqlx::Error> {
    let mut other = PgConnection::connect_with(options).await?;
    let first = backend(conn).await?;
    let mut tx = other.begin().await?;
    let second = backend(&mut tx).await?;
    let first_again = backend(conn).await?;
    tx.rollback().await?;
    // The answer matters, not the farewell.
    let _ = other.close().await;
    Ok(pooling(&SeenBackends {
        first,
        second,
        first_again,
    }))
}

/// The process that serves a connection, asked without a prepared statement: some poolers
/// have none.
async fn backend(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()::text")
        .fetch_one(conn)
        .await?
        .try_get(0)
}

fn pooling(seen: &SeenBackends) -> Finding {
    const CHECK: &str = "pooler";
    // Two open connections that share a process, or one that changes it.
    if seen.first == seen.second || seen.first != seen.first_again {
        return failure(
            CHECK,
            "a pooler gives each transaction another server process (transaction pooling)",
            "connect directly or through a port in session mode (pgbouncer: pool_mode = session; Supabase: port 5432, not 6543)",
        );
    }
    fine(CHECK, "each connection has a server process of its own")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn transaction_pooling() {
        let seen = |first: &str, second: &str, first_again: &str| {
            let [first, second, first_again] = [first, second, first_again].map(str::to_owned);
            pooling(&SeenBackends {
                first,
                second,
                first_again,
            })
            .severity
        };
        assert_eq!(seen("1", "2", "1"), Severity::Ok);
        assert_eq!(seen("1", "1", "2"), Severity::Failure);
        assert_eq!(seen("1", "2", "3"), Severity::Failure);
    }
}
