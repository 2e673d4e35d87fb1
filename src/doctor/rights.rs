//! The rights of the role in the URL, and of the role for readers.

use sqlx::{Connection as _, PgConnection};

use super::finding::{Finding, failure, fine, warning};
use super::server::ServerFacts;

/// `migrates`: whether the daemon brings the schema up to date itself.
pub(super) fn of_role(facts: &ServerFacts, migrates: bool) -> Finding {
    const CHECK: &str = "rights";
    let role = &facts.role;
    if migrates && !facts.may_create {
        return failure(
            CHECK,
            format!("{role} may not create tables in the schema public"),
            format!(
                "as the owner of the database: GRANT CREATE ON SCHEMA public TO {role}; or migrate as the owner and serve with --no-migrate"
            ),
        );
    }
    if migrates && !facts.has_auth {
        return failure(
            CHECK,
            format!("{role} may not create the schema auth"),
            format!("as the owner of the database: GRANT CREATE ON DATABASE … TO {role}"),
        );
    }
    if migrates && !facts.foreign_tables.is_empty() {
        return failure(
            CHECK,
            format!("others own {}", facts.foreign_tables.join(", ")),
            "migrate as their owner, and serve with --no-migrate",
        );
    }
    if !facts.closed_tables.is_empty() {
        return failure(
            CHECK,
            format!("{role} may not write {}", facts.closed_tables.join(", ")),
            format!("run `runtraced grant --role {role:?}` as the owner of the tables"),
        );
    }
    if facts.superuser && !migrates {
        return warning(
            CHECK,
            format!("{role} is a superuser"),
            "serve as a role that can only write: `runtraced grant`",
        );
    }
    fine(CHECK, format!("{role} may do what the daemon does"))
}

/// What is known of the role under which readers with less than all rights read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReaderFacts {
    exists: bool,
    /// Whether the daemon's role may take it.
    member: bool,
    /// Whether policies bind it; `None`: not asked.
    bound: Option<bool>,
}

pub(super) async fn examine_reader(
    conn: &mut PgConnection,
    reader: &str,
) -> Result<Finding, sqlx::Error> {
    let (exists, member): (bool, bool) = sqlx::query_as(
        "SELECT count(*) > 0, coalesce(bool_or(pg_has_role(current_user, oid, 'MEMBER')), false)
         FROM pg_roles WHERE rolname = $1",
    )
    .bind(reader)
    .fetch_one(&mut *conn)
    .await?;
    let mut facts = ReaderFacts {
        exists,
        member,
        bound: None,
    };
    if member {
        let mut tx = conn.begin().await?;
        sqlx::query("SELECT set_config('role', $1, true)")
            .bind(reader)
            .execute(&mut *tx)
            .await?;
        let bound = sqlx::query_scalar(
            "SELECT row_security_active(to_regclass('public.agent_runs')) IS NOT FALSE",
        );
        facts.bound = Some(bound.fetch_one(&mut *tx).await?);
        tx.rollback().await?;
    }
    Ok(reader_role(reader, facts))
}

fn reader_role(reader: &str, facts: ReaderFacts) -> Finding {
    const CHECK: &str = "reader role";
    let grant = "run `runtraced grant --reader` as the owner of the tables, if keys of one customer or users are to read";
    match facts {
        ReaderFacts { exists: false, .. } => {
            fine(CHECK, format!("there is no role {reader}; {grant}"))
        }
        ReaderFacts { member: false, .. } => warning(
            CHECK,
            format!("the daemon may not take the role {reader}"),
            grant,
        ),
        ReaderFacts {
            bound: Some(false), ..
        } => failure(
            CHECK,
            format!("row level security does not bind {reader}, so it would read everything"),
            "choose a --read-role that is no superuser, owns no table and has no BYPASSRLS",
        ),
        _ => fine(
            CHECK,
            format!("the daemon may read as {reader}, which policies bind"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity::{self, Failure, Ok as Fine, Warning};
    use crate::doctor::server::tests::facts;

    fn role(migrates: bool, change: impl FnOnce(&mut ServerFacts)) -> Severity {
        let mut facts = facts();
        change(&mut facts);
        of_role(&facts, migrates).severity
    }

    #[test]
    fn rights_that_are_missing() {
        assert_eq!(role(true, |_| {}), Fine);
        assert_eq!(role(true, |facts| facts.may_create = false), Failure);
        assert_eq!(role(true, |facts| facts.has_auth = false), Failure);
        let others = |facts: &mut ServerFacts| facts.foreign_tables = vec!["agent_runs".into()];
        assert_eq!(role(true, others), Failure);
        // Who does not migrate needs none of these.
        assert_eq!(role(false, others), Fine);
        assert_eq!(role(false, |facts| facts.may_create = false), Fine);
        let closed = |facts: &mut ServerFacts| facts.closed_tables = vec!["approvals".into()];
        assert_eq!(role(false, closed), Failure);
        assert_eq!(role(false, |facts| facts.superuser = true), Warning);
    }

    #[test]
    fn roles_that_cannot_read() {
        let reader = |exists, member, bound| {
            let facts = ReaderFacts {
                exists,
                member,
                bound,
            };
            reader_role("runtraced_reader", facts).severity
        };
        assert_eq!(reader(true, true, Some(true)), Fine);
        assert_eq!(reader(false, false, None), Fine);
        assert_eq!(reader(true, false, None), Warning);
        assert_eq!(reader(true, true, Some(false)), Failure);
    }
}
