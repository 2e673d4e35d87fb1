//! Grants a role the rights that the daemon needs, and no others.
//!
//! This is not a migration, because migrations create no roles and the operator chooses
//! the role. It is not a function in the database, because the rights depend on the
//! version of the daemon.

use sqlx::{Connection as _, PgConnection};

/// Why the rights of a role were not changed.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The role does not exist. The operator creates it, with or without a password.
    #[error("there is no role {0}; create it first: CREATE ROLE {0} LOGIN")]
    NoRole(String),
    /// The role ignores all rights.
    #[error("role {0} is a superuser and ignores all rights; choose another role")]
    Superuser(String),
    /// The role has all rights on its own tables.
    #[error(
        "role {0} owns tables of the schema or is a member of their owner; choose another role"
    )]
    Owner(String),
    /// The schema is missing or old, or this connection may not grant rights.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// How to change the rights of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Grant the rights that the daemon needs, and revoke all others. A role that may delete traces
    /// keeps that right.
    Give,
    /// The same, and let the role delete traces.
    GiveRetention,
    /// Revoke all rights.
    Take,
}

/// Changes the rights of a role on the schema, in one transaction.
///
/// # Errors
/// If the role is missing or unsuitable, or if the connection does not own the schema.
pub async fn grant(conn: &mut PgConnection, role: &str, what: Grant) -> Result<(), GrantError> {
    let mut tx = conn.begin().await?;
    let found: Option<(bool, bool)> = sqlx::query_as(
        "SELECT r.rolsuper, EXISTS (
             SELECT FROM pg_tables t
             WHERE t.schemaname = 'public' AND pg_has_role(r.oid, t.tableowner, 'MEMBER'))
         FROM pg_roles r WHERE r.rolname = $1",
    )
    .bind(role)
    .fetch_optional(&mut *tx)
    .await?;
    match (found, what) {
        (None, _) => return Err(GrantError::NoRole(role.to_owned())),
        (Some((true, _)), Grant::Give | Grant::GiveRetention) => {
            return Err(GrantError::Superuser(role.to_owned()));
        }
        (Some((false, true)), Grant::Give | Grant::GiveRetention) => {
            return Err(GrantError::Owner(role.to_owned()));
        }
        (Some(_), _) => {}
    }
    let could_delete: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_policies WHERE schemaname = 'public' AND tablename = 'retention_rules'
             AND policyname = ('runtraced writes as ' || $1)::name)",
    )
    .bind(role)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query("SELECT set_config('runtraced.role', $1, true)")
        .bind(role)
        .execute(&mut *tx)
        .await?;
    let statements = match what {
        Grant::Give | Grant::GiveRetention => include_str!("../sql/grant_writer.sql"),
        Grant::Take => include_str!("../sql/revoke_writer.sql"),
    };
    sqlx::raw_sql(statements).execute(&mut *tx).await?;
    if what == Grant::GiveRetention || what == Grant::Give && could_delete {
        sqlx::raw_sql(include_str!("../sql/grant_retention.sql"))
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
