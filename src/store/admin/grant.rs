//! A role for the daemon with no more rights than it needs.
//!
//! Not a migration: migrations make no role, and which role it is, is the
//! operator's choice. Not a function in the database either: what the daemon
//! needs belongs to the version of the daemon.

use sqlx::{Connection as _, PgConnection};

/// Why a role was not granted anything.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The operator makes it, with a password or without.
    #[error("there is no role {0}: CREATE ROLE {0} LOGIN first")]
    NoRole(String),
    /// Rights would mean nothing to it.
    #[error("{0} is a superuser, whom nothing is kept from; take another role")]
    Superuser(String),
    /// It may do everything with them.
    #[error("{0} owns tables of the schema, or is a member of their owner; take another role")]
    Owner(String),
    /// The schema is missing or old, or this connection may not grant.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Give what the daemon needs, and nothing else.
    Give,
    /// Take it back.
    Take,
}

/// Gives a role what the daemon needs, or takes it back; all or nothing.
///
/// # Errors
/// When the role is not one for this, or the connection is not the owner's.
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
        (Some((true, _)), Grant::Give) => return Err(GrantError::Superuser(role.to_owned())),
        (Some((false, true)), Grant::Give) => return Err(GrantError::Owner(role.to_owned())),
        (Some(_), _) => {}
    }
    sqlx::query("SELECT set_config('runtraced.role', $1, true)")
        .bind(role)
        .execute(&mut *tx)
        .await?;
    let statements = match what {
        Grant::Give => include_str!("../sql/grant_writer.sql"),
        Grant::Take => include_str!("../sql/revoke_writer.sql"),
    };
    sqlx::raw_sql(statements).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
