//! The rights of the role in the URL, and of the role for readers.

use sqlx::{Connection as _, PgConnection};

use super::finding::{Finding, failure, fine, warning};
use super::server::ServerFacts;

/// The tables with traces, as readers read them.
const GUARDED_TABLES: [&str; 9] = [
    "agent_contents",
    "agent_messages",
    "agent_run_scopes",
    "agent_runs",
    "agent_scores",
    "agent_sessions",
    "agent_steps",
    "agent_token_counts",
    "approvals",
];

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ReaderFacts {
    exists: bool,
    /// Whether the daemon's role may take it.
    member: bool,
    /// Tables whose policies do not bind it.
    unbound: Vec<String>,
    /// Tables that it may not read.
    unreadable: Vec<String>,
}

/// `role`: the daemon's.
pub(super) async fn examine_reader(
    conn: &mut PgConnection,
    reader: &str,
    role: &str,
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
        ..ReaderFacts::default()
    };
    if member {
        let mut tx = conn.begin().await?;
        sqlx::query("SELECT set_config('role', $1, true)")
            .bind(reader)
            .execute(&mut *tx)
            .await?;
        (facts.unbound, facts.unreadable) = sqlx::query_as(include_str!("sql/reader.sql"))
            .bind(&GUARDED_TABLES[..])
            .fetch_one(&mut *tx)
            .await?;
        tx.rollback().await?;
    }
    Ok(reader_role(reader, role, &facts))
}

fn reader_role(reader: &str, role: &str, facts: &ReaderFacts) -> Finding {
    const CHECK: &str = "reader role";
    let grant = format!(
        "run `runtraced grant --role {role:?} --reader {reader:?}` as the owner of the tables, if keys of one customer or users are to read"
    );
    if !facts.exists {
        return fine(CHECK, format!("there is no role {reader}; {grant}"));
    }
    if !facts.member {
        let found = format!("the daemon may not take the role {reader}");
        return warning(CHECK, found, grant);
    }
    if facts.unbound.len() == GUARDED_TABLES.len() {
        return failure(
            CHECK,
            format!("row level security does not bind {reader}, so it would read everything"),
            "choose a --read-role that is no superuser, owns no table and has no BYPASSRLS",
        );
    }
    if !facts.unbound.is_empty() {
        let tables = facts.unbound.join(", ");
        return failure(
            CHECK,
            format!("row level security is off for {reader} on {tables}, so nobody may read as it"),
            "ALTER TABLE … ENABLE ROW LEVEL SECURITY on each; none of them may belong to that role",
        );
    }
    if !facts.unreadable.is_empty() {
        let tables = facts.unreadable.join(", ");
        return warning(CHECK, format!("{reader} may not read {tables}"), grant);
    }
    fine(
        CHECK,
        format!("the daemon may read as {reader}, which policies bind"),
    )
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
        let tables = |count: usize| GUARDED_TABLES[..count].iter().map(ToString::to_string);
        let reader = |exists, member, unbound, unreadable| {
            let facts = ReaderFacts {
                exists,
                member,
                unbound: tables(unbound).collect(),
                unreadable: tables(unreadable).collect(),
            };
            reader_role("runtraced_reader", "writer", &facts)
        };
        let all = GUARDED_TABLES.len();
        assert_eq!(reader(true, true, 0, 0).severity, Fine);
        assert_eq!(reader(false, false, 0, 0).severity, Fine);
        assert_eq!(reader(true, false, 0, 0).severity, Warning);
        assert_eq!(reader(true, true, all, 0).severity, Failure);
        let one = reader(true, true, 1, 0);
        assert_eq!(one.severity, Failure);
        assert!(one.found.contains("on agent_contents,"), "{one:?}");
        let closed = reader(true, true, 0, 1);
        assert_eq!(closed.severity, Warning);
        assert!(
            closed.advice.contains("--role \"writer\" --reader"),
            "{closed:?}"
        );
    }
}
