//! The role under which the web reads for others than the operator, and the decisions that
//! people make there.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// The role's name unless the operator chooses another.
pub const READER_ROLE: &str = "runtraced_reader";

/// Creates the role `reader` if there is none, gives it its rights, and lets the role
/// `member` take it; without `member`, the role of this connection.
///
/// # Errors
/// If this connection may not create roles or does not own the tables.
pub async fn grant_reader(
    conn: &mut PgConnection,
    reader: &str,
    member: Option<&str>,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query(
        "SELECT set_config('runtraced.reader', $1, true), \
         set_config('runtraced.role', coalesce($2, current_user::text), true)",
    )
    .bind(reader)
    .bind(member)
    .execute(&mut *tx)
    .await?;
    sqlx::raw_sql(include_str!("../sql/grant_reader.sql"))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Who decides, if no user of the product does.
#[derive(Clone, Debug)]
pub struct DecidedBy {
    /// The key; `None`: the operator.
    pub key: Option<Uuid>,
    /// The name of the key, or where the operator decides, for people.
    pub name: String,
}

impl DecidedBy {
    /// The operator, by this name.
    #[must_use]
    pub fn operator(name: &str) -> Self {
        Self {
            key: None,
            name: name.to_owned(),
        }
    }
}

/// Decides a pending approval that has not expired. Returns whether it did: the first
/// decision stands. `by`: who decides; `None`: the user of the request. `shown`: the
/// revision that was decided.
///
/// # Errors
/// If the statement fails.
pub async fn decide_approval(
    conn: &mut PgConnection,
    id: Uuid,
    status: &str,
    note: Option<&str>,
    by: Option<&DecidedBy>,
    shown: &str,
) -> Result<bool, sqlx::Error> {
    let decided = sqlx::query(include_str!("../sql/decide_approval.sql"))
        .bind(id)
        .bind(status)
        .bind(note)
        .bind(by.map(|by| &by.name))
        .bind(by.and_then(|by| by.key))
        .bind(shown)
        .execute(conn)
        .await?;
    Ok(decided.rows_affected() > 0)
}
