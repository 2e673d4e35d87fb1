//! Structs that are read from a row of Postgres, column by column.

/// Reads each field of a struct from the column of its name.
///
/// `#[derive(sqlx::FromRow)]` does the same, but builds sqlx, tokio and rustls a second time, for
/// the compiler: a sixth of the whole build.
macro_rules! from_row {
    ($row:ident { $($field:ident),+ $(,)? }) => {
        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $row {
            fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}
