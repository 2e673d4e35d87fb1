//! The server: version, durability, connections, timeouts, extensions.

use sqlx::PgConnection;

use super::finding::{Finding, failure, fine, warning};
use crate::postgres::{NEWEST_TESTED, OLDEST_SUPPORTED};

/// The tables that the daemon writes.
const WRITTEN_TABLES: [&str; 16] = [
    "agent_content_scopes",
    "agent_contents",
    "agent_messages",
    "agent_run_scopes",
    "agent_runs",
    "agent_scores",
    "agent_sessions",
    "agent_shared_contents",
    "agent_stale_scopes",
    "agent_step_aliases",
    "agent_steps",
    "agent_token_counts",
    "approvals",
    "ingest_dead_letters",
    "ingest_ledger",
    "model_prices",
];

/// What the server and the role are like. `sql/server.sql` says where it is from.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    pub version: String,
    pub version_num: i32,
    pub standby: bool,
    pub read_only: bool,
    pub encoding: String,
    pub fsync: bool,
    pub full_page_writes: bool,
    pub synchronous_commit: String,
    pub statement_timeout: String,
    pub max_connections: i32,
    pub reserved_connections: i32,
    pub used_connections: i32,
    /// -1: no limit.
    pub role_limit: i32,
    /// -1: no limit.
    pub database_limit: i32,
    pub trgm_version: Option<String>,
    pub trgm_available: bool,
    pub role: String,
    pub superuser: bool,
    pub may_create: bool,
    /// Whether the schema `auth` is there or may be made.
    pub has_auth: bool,
    /// Tables that belong to others.
    pub foreign_tables: Vec<String>,
    /// Tables that the role may not write.
    pub closed_tables: Vec<String>,
}

from_row!(ServerFacts {
    version,
    version_num,
    standby,
    read_only,
    encoding,
    fsync,
    full_page_writes,
    synchronous_commit,
    statement_timeout,
    max_connections,
    reserved_connections,
    used_connections,
    role_limit,
    database_limit,
    trgm_version,
    trgm_available,
    role,
    superuser,
    may_create,
    has_auth,
    foreign_tables,
    closed_tables,
});

impl ServerFacts {
    /// `statement_timeout`: as it was before it was lifted.
    pub async fn ask(
        conn: &mut PgConnection,
        statement_timeout: &str,
    ) -> Result<Self, sqlx::Error> {
        sqlx::query_as(include_str!("sql/server.sql"))
            .bind(&WRITTEN_TABLES[..])
            .bind(statement_timeout)
            .fetch_one(conn)
            .await
    }
}

/// Gives the checks as much time as the daemon gives itself, whatever the role has. Returns what it has.
pub(super) async fn lift_statement_timeout(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT old FROM (SELECT current_setting('statement_timeout') AS old OFFSET 0) AS was,
           LATERAL set_config('statement_timeout', '10s', false)",
    )
    .fetch_one(conn)
    .await
}

pub(super) fn version(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "version";
    let found = format!("PostgreSQL {}", facts.version);
    let major = u32::try_from(facts.version_num / 10_000).unwrap_or_default();
    if major < OLDEST_SUPPORTED {
        let advice = format!("use PostgreSQL {OLDEST_SUPPORTED} to {NEWEST_TESTED}");
        return failure(CHECK, found, advice);
    }
    if major > NEWEST_TESTED {
        let advice = format!("versions above {NEWEST_TESTED} are not tested");
        return warning(CHECK, found, advice);
    }
    fine(CHECK, found)
}

pub(super) fn writable(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "writable";
    if facts.standby {
        let advice = "connect to the primary, for example with target_session_attrs of a proxy";
        return failure(CHECK, "the server is a standby, which only reads", advice);
    }
    if facts.read_only {
        let advice = format!(
            "ALTER ROLE {} RESET default_transaction_read_only",
            facts.role
        );
        return failure(CHECK, "default_transaction_read_only is on", advice);
    }
    fine(CHECK, "the server takes writes")
}

pub(super) fn encoding(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "encoding";
    if facts.encoding == "UTF8" {
        return fine(CHECK, "UTF8");
    }
    failure(
        CHECK,
        format!(
            "the database is in {}, which cannot hold every text",
            facts.encoding
        ),
        "create the database with ENCODING 'UTF8' TEMPLATE template0",
    )
}

pub(super) fn durability(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "durability";
    let off: Vec<&str> = [
        (facts.fsync, "fsync"),
        (facts.full_page_writes, "full_page_writes"),
    ]
    .into_iter()
    .filter_map(|(on, name)| (!on).then_some(name))
    .collect();
    if off.is_empty() {
        return fine(CHECK, "fsync and full_page_writes are on");
    }
    warning(
        CHECK,
        format!(
            "{} is off: a crash of the machine may lose what was acknowledged",
            off.join(" and ")
        ),
        "turn it on in postgresql.conf and reload the server",
    )
}

pub(super) fn commits(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "commits";
    match facts.synchronous_commit.as_str() {
        "off" | "local" => fine(
            CHECK,
            format!(
                "synchronous_commit is {}; the daemon sets it to on for its own sessions where it is off",
                facts.synchronous_commit
            ),
        ),
        value => fine(CHECK, format!("synchronous_commit is {value}")),
    }
}

/// `needed`: the connections of one daemon.
pub(super) fn connections(facts: &ServerFacts, needed: i32) -> Finding {
    const CHECK: &str = "connections";
    let reserved = if facts.superuser {
        0
    } else {
        facts.reserved_connections
    };
    let limits = [
        (facts.max_connections - reserved, "max_connections"),
        (facts.role_limit, "the role's CONNECTION LIMIT"),
        (facts.database_limit, "the database's CONNECTION LIMIT"),
    ];
    let lowest = limits.into_iter().filter(|(limit, _)| *limit >= 0).min();
    let (limit, name) = lowest.unwrap_or((i32::MAX, "max_connections"));
    if limit < needed {
        return failure(
            CHECK,
            format!("the daemon opens up to {needed} connections, and {name} allows {limit}"),
            format!("raise {name}, or lower --writers"),
        );
    }
    let free = facts.max_connections - reserved - facts.used_connections;
    if free < needed {
        return warning(
            CHECK,
            format!("{free} connections are free, and the daemon opens up to {needed}"),
            "close connections or raise max_connections; a daemon that runs already counts too",
        );
    }
    fine(
        CHECK,
        format!("{free} are free, and the daemon opens up to {needed}"),
    )
}

pub(super) fn timeouts(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "timeouts";
    match facts.statement_timeout.as_str() {
        "0" => fine(CHECK, "statement_timeout is not set"),
        value => fine(
            CHECK,
            format!("statement_timeout is {value}; the daemon and migrations set their own"),
        ),
    }
}

pub(super) fn extensions(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "extensions";
    match (&facts.trgm_version, facts.trgm_available) {
        (Some(version), _) => fine(
            CHECK,
            format!("none is required; pg_trgm {version} is installed"),
        ),
        (None, true) => fine(
            CHECK,
            "none is required; `runtraced migrate --search-index` would install pg_trgm",
        ),
        (None, false) => warning(
            CHECK,
            "none is required, but `runtraced migrate --search-index` needs pg_trgm, which the server does not have",
            "install the server's contrib package if you want indexes for searching",
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::doctor::Severity::{self, Failure, Ok as Fine, Warning};

    /// A server where nothing is to be done.
    pub fn facts() -> ServerFacts {
        ServerFacts {
            version: "17.6".to_owned(),
            version_num: 170_006,
            standby: false,
            read_only: false,
            encoding: "UTF8".to_owned(),
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            statement_timeout: "0".to_owned(),
            max_connections: 100,
            reserved_connections: 3,
            used_connections: 5,
            role_limit: -1,
            database_limit: -1,
            trgm_version: None,
            trgm_available: true,
            role: "traces".to_owned(),
            superuser: false,
            may_create: true,
            has_auth: true,
            foreign_tables: Vec::new(),
            closed_tables: Vec::new(),
        }
    }

    /// How a check ends if one fact is another.
    fn with(change: impl FnOnce(&mut ServerFacts), check: fn(&ServerFacts) -> Finding) -> Severity {
        let mut facts = facts();
        assert_eq!(check(&facts).severity, Fine, "{:?}", check(&facts));
        change(&mut facts);
        check(&facts).severity
    }

    #[test]
    fn versions() {
        assert_eq!(with(|facts| facts.version_num = 140_012, version), Failure);
        assert_eq!(with(|facts| facts.version_num = 190_000, version), Warning);
    }

    #[test]
    fn servers_that_do_not_take_writes() {
        assert_eq!(with(|facts| facts.standby = true, writable), Failure);
        assert_eq!(with(|facts| facts.read_only = true, writable), Failure);
    }

    #[test]
    fn encodings_other_than_utf8() {
        assert_eq!(
            with(|facts| facts.encoding = "SQL_ASCII".into(), encoding),
            Failure
        );
    }

    #[test]
    fn settings_that_lose_commits() {
        assert_eq!(with(|facts| facts.fsync = false, durability), Warning);
        assert_eq!(
            with(|facts| facts.full_page_writes = false, durability),
            Warning
        );
        let mut facts = facts();
        facts.synchronous_commit = "off".to_owned();
        assert!(commits(&facts).found.contains("the daemon sets it to on"));
    }

    #[test]
    fn too_few_connections() {
        let check = |facts: &ServerFacts| connections(facts, 12);
        assert_eq!(with(|facts| facts.max_connections = 14, check), Failure);
        assert_eq!(with(|facts| facts.role_limit = 10, check), Failure);
        assert_eq!(with(|facts| facts.database_limit = 10, check), Failure);
        assert_eq!(with(|facts| facts.used_connections = 90, check), Warning);
    }

    #[test]
    fn timeouts_of_the_role_are_told() {
        let mut facts = facts();
        facts.statement_timeout = "5s".to_owned();
        assert!(timeouts(&facts).found.contains("5s"));
    }

    #[test]
    fn a_server_without_pg_trgm() {
        assert_eq!(
            with(|facts| facts.trgm_available = false, extensions),
            Warning
        );
    }
}
