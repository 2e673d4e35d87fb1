//! Whether several servers are one store, and have the same customers, users and retention rules.

use sqlx::PgConnection;
use uuid::Uuid;

use super::finding::{Finding, failure, fine, warning};
use crate::store::{StorePlace, find_customer_tables};

/// What a server says of itself. It is empty if it could not be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreMember {
    place: Option<StorePlace>,
    customers: Option<TableIds>,
    users: Option<TableIds>,
    rules: Option<TableIds>,
}

/// What tells the rows of a table from others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TableIds {
    rows: i64,
    hash: String,
}

impl StoreMember {
    pub async fn ask(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut member = Self {
            place: StorePlace::find(conn).await?,
            ..Self::default()
        };
        if member.place.is_some() {
            member.rules = ids(conn, include_str!("sql/rule_ids.sql")).await.ok();
        }
        if member.place.is_some() && find_customer_tables(conn).await? {
            // The daemon's role need not be able to read them.
            member.customers = ids(conn, include_str!("sql/customer_ids.sql")).await.ok();
            member.users = ids(conn, include_str!("sql/user_ids.sql")).await.ok();
        }
        Ok(member)
    }
}

async fn ids(conn: &mut PgConnection, sql: &'static str) -> Result<TableIds, sqlx::Error> {
    let (rows, hash) = sqlx::query_as(sql).fetch_one(conn).await?;
    Ok(TableIds { rows, hash })
}

/// Compares the servers. Nothing is to be compared if there is only one.
pub(super) fn examine(members: &[StoreMember]) -> Vec<Finding> {
    match members.len() {
        0 | 1 => Vec::new(),
        _ => vec![
            one_store(members),
            same_ids("customers", members, |member| member.customers.as_ref()),
            same_ids("users", members, |member| member.users.as_ref()),
            same_ids("retention rules", members, |member| member.rules.as_ref()),
        ],
    }
}

fn one_store(members: &[StoreMember]) -> Finding {
    const CHECK: &str = "store";
    const MIGRATE: &str =
        "run `runtraced migrate` with all --database-url, in the order of the store";
    let of = members.len();
    let stores: Vec<Option<Uuid>> = members
        .iter()
        .map(|member| member.place.map(|place| place.store))
        .collect();
    if let Some(alone) = stores.iter().position(Option::is_none) {
        let found = format!(
            "server {}/{of} does not say that it belongs to a store",
            alone + 1
        );
        return failure(CHECK, found, MIGRATE);
    }
    if let Some(other) = stores.iter().position(|store| *store != stores[0]) {
        let found = format!(
            "server {}/{of} belongs to another store than server 1/{of}",
            other + 1
        );
        return failure(CHECK, found, "correct --database-url");
    }
    let says = |(number, member): (usize, &StoreMember)| {
        let server = member.place.map(|place| place.server.to_string());
        let meant = format!("{}/{of}", number + 1);
        server
            .filter(|server| *server != meant)
            .map(|there| (meant, there))
    };
    match members.iter().enumerate().find_map(says) {
        Some((meant, there)) => failure(
            CHECK,
            format!("what is given as server {meant} is server {there}"),
            "give --database-url once for each server, in the order of `runtraced migrate`",
        ),
        None => fine(CHECK, format!("{of} servers, in their order")),
    }
}

/// Whether all servers have the same rows of a table.
fn same_ids(
    table: &'static str,
    members: &[StoreMember],
    of: fn(&StoreMember) -> Option<&TableIds>,
) -> Finding {
    let found: Vec<Option<&TableIds>> = members.iter().map(of).collect();
    if found.iter().all(Option::is_none) {
        return fine(table, "not known, or left out");
    }
    let counts: Vec<String> = found
        .iter()
        .map(|ids| ids.map_or_else(|| "?".to_owned(), |ids| ids.rows.to_string()))
        .collect();
    let counts = counts.join(", ");
    match found.iter().all(|ids| *ids == found[0]) {
        true => fine(table, format!("the same on all servers: {counts}")),
        false => warning(
            table,
            format!("not the same on all servers: {counts} rows, or others"),
            match table {
                "retention rules" => {
                    "write each row of retention_rules to every server: each deletes by its own"
                        .to_owned()
                }
                _ => format!(
                    "copy {table} from the server where your product writes them to the others, for example by logical \
                     replication (docs/OPERATIONS.md, Several servers)"
                ),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity::{self, Failure, Ok as Fine, Warning};
    use crate::store::StoreServer;

    fn members() -> Vec<StoreMember> {
        let ids = |rows| {
            Some(TableIds {
                rows,
                hash: "h".to_owned(),
            })
        };
        let member = |server| StoreMember {
            place: Some(StorePlace {
                store: Uuid::from_u128(1),
                server,
            }),
            customers: ids(3),
            users: ids(5),
            rules: ids(0),
        };
        StoreServer::all(2).map(member).collect()
    }

    fn severities(members: &[StoreMember]) -> Vec<Severity> {
        let findings = examine(members);
        findings.iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn servers_are_compared_only_if_there_are_several() {
        assert_eq!(examine(&members()[..1]), []);
        assert_eq!(severities(&members()), [Fine; 4]);
    }

    #[test]
    fn servers_that_are_no_store() {
        let mut reversed = members();
        reversed.reverse();
        assert_eq!(severities(&reversed)[0], Failure);
        let mut alone = members();
        alone[1].place = None;
        assert_eq!(severities(&alone)[0], Failure);
        let mut other = members();
        other[1].place.as_mut().unwrap().store = Uuid::nil();
        assert_eq!(severities(&other)[0], Failure);
    }

    #[test]
    fn tables_that_differ() {
        let mut fewer = members();
        fewer[1].customers.as_mut().unwrap().rows = 2;
        fewer[1].users.as_mut().unwrap().hash = "i".to_owned();
        assert_eq!(severities(&fewer), [Fine, Warning, Warning, Fine]);
        fewer[0].rules.as_mut().unwrap().rows = 1;
        assert_eq!(severities(&fewer)[3], Warning);
        let mut unknown = members();
        unknown[1].customers = None;
        assert_eq!(severities(&unknown)[1], Warning);
    }
}
