//! Where the customer tables are: in the schema `public`, in another one, or nowhere.

use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::store::error::{is_conflict, sqlstate};

/// How often it is tried if others are in the way.
const ATTEMPTS: u32 = 5;
/// The SQLSTATE of a refusal (`object_not_in_prerequisite_state`).
const REFUSED: &str = "55000";

/// Where the customer tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerTables {
    /// In the schema of this name.
    In(String),
    /// The database has none.
    LeftOut,
}

impl std::fmt::Display for CustomerTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::In(schema) => write!(f, "the customer tables are in the schema {schema}"),
            Self::LeftOut => f.write_str("the customer tables are left out"),
        }
    }
}

/// Why they were not moved or left out.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// They must stay.
    #[error("{0}")]
    Refused(String),
    /// A statement failed.
    #[error(transparent)]
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for PlaceError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(refusal) if sqlstate(&error) == REFUSED => {
                Self::Refused(refusal.message().to_owned())
            }
            _ => Self::Sql(error),
        }
    }
}

/// Where the customer tables of a database are. Schemas of before migration 37 have them in
/// `public`, or will.
///
/// # Errors
/// If a statement fails.
pub async fn customer_tables(conn: &mut PgConnection) -> Result<CustomerTables, sqlx::Error> {
    if !knows_customer_tables(conn).await? {
        return Ok(CustomerTables::In("public".to_owned()));
    }
    let schema: Option<String> = sqlx::query_scalar("SELECT public.customers_schema()")
        .fetch_one(conn)
        .await?;
    Ok(schema.map_or(CustomerTables::LeftOut, CustomerTables::In))
}

/// Whether migration 37 is applied, from which on a database knows where they are.
async fn knows_customer_tables(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regprocedure('public.customers_schema()') IS NOT NULL")
        .fetch_one(conn)
        .await
}

/// Makes the customer tables the first that statements of this connection find. Returns false
/// if the database has none.
///
/// # Errors
/// If a statement fails.
pub async fn find_customer_tables(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let CustomerTables::In(schema) = customer_tables(conn).await? else {
        return Ok(false);
    };
    sqlx::query("SELECT set_config('search_path', quote_ident($1) || ', public', false)")
        .bind(schema)
        .execute(conn)
        .await?;
    Ok(true)
}

/// Moves the customer tables, or leaves them out. It waits at most five seconds at a time for
/// locks, and changes nothing if they are there already.
///
/// # Errors
/// [`PlaceError::Refused`] if they have rows, are left out already, or are not those of
/// runtraced; and errors of the database.
pub async fn place_customer_tables(
    conn: &mut PgConnection,
    wanted: &CustomerTables,
) -> Result<(), PlaceError> {
    // A migration meanwhile would look for them where they were.
    conn.lock().await.map_err(of_lock)?;
    let placed = place_soon(conn, wanted).await;
    conn.unlock().await.map_err(of_lock)?;
    placed.map_err(PlaceError::from)
}

/// Why the customer tables would stay where they are. `None`: nothing that can be seen without
/// locks speaks against it, or migrations come first that make it possible.
///
/// # Errors
/// If a statement fails for another reason.
pub async fn place_refusal(
    conn: &mut PgConnection,
    wanted: &CustomerTables,
) -> Result<Option<String>, sqlx::Error> {
    if !knows_customer_tables(conn).await? {
        return Ok(None);
    }
    let mut tx = conn.begin().await?;
    let statement = format!(
        "SET TRANSACTION READ ONLY; SET LOCAL runtraced.only_check = 'on';\n{}",
        place_statement(wanted)
    );
    let checked = sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut *tx)
        .await;
    tx.rollback().await?;
    match checked.map_err(PlaceError::from) {
        Ok(_) => Ok(None),
        Err(PlaceError::Refused(why)) => Ok(Some(why)),
        Err(PlaceError::Sql(error)) => Err(error),
    }
}

fn of_lock(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) => error,
        other => sqlx::Error::Protocol(other.to_string()),
    }
}

async fn place_soon(conn: &mut PgConnection, wanted: &CustomerTables) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET lock_timeout = '5s'; SET statement_timeout = 0")
        .execute(&mut *conn)
        .await?;
    let mut attempts = 1;
    while let Err(error) = place_once(conn, wanted).await {
        // A daemon that writes may lock the same tables in another order.
        if attempts == ATTEMPTS || !is_conflict(&error) {
            return Err(error);
        }
        attempts += 1;
    }
    Ok(())
}

async fn place_once(conn: &mut PgConnection, wanted: &CustomerTables) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(place_statement(wanted)))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// The statements for it, to be run in a transaction.
pub(super) fn place_statement(wanted: &CustomerTables) -> String {
    let (schema, without) = match wanted {
        CustomerTables::In(schema) => (schema.as_str(), "off"),
        CustomerTables::LeftOut => ("", "on"),
    };
    format!(
        "SET LOCAL runtraced.customers_schema = '{}';\n\
         SET LOCAL runtraced.without_customers = '{without}';\n{}",
        schema.replace('\'', "''"),
        include_str!("../sql/place_customers.sql")
    )
}
