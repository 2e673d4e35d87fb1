//! The database: whether it can be reached, and all checks of what is reached.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::timeout;

use super::finding::{Finding, failure, fine};
use super::server::{self, ServerFacts};
use super::store::{self, StoreMember};
use super::{ExplainSql, clock, pooler, rights, schema};
use crate::config::{Config, DatabaseSource, database_address, parse_database_url};
use crate::postgres::{Binaries, PrivateError, PrivatePostgres};
use crate::store::{StoreServer, TraceLayout, identify_database};

const CHECK: &str = "database";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of a daemon beside those of its writers: replayer, sweeper, health, keys.
const OWN_CONNECTIONS: usize = 4;
/// Connections while somebody reads over HTTP.
const READ_CONNECTIONS: usize = 6;

/// Makes all checks of the database, on each server. Returns what tells each database from every
/// other one, if that is known.
pub(super) async fn examine(
    config: &Config,
    explain: ExplainSql,
    findings: &mut Vec<Finding>,
) -> Vec<Option<String>> {
    let databases = match databases(config) {
        Ok(databases) => databases,
        Err(finding) => {
            findings.push(finding);
            return vec![None];
        }
    };
    let (mut identities, mut members) = (Vec::new(), Vec::new());
    for (server, options) in StoreServer::all(databases.len()).zip(databases) {
        let mut found = Vec::new();
        // Writers say the same, and the check of the schema compares it.
        let options = server.mark(options);
        let (identity, member) = examine_one(&options, config, explain, &mut found).await;
        identities.push(identity);
        members.push(member);
        if server.has_others() {
            let name = format!("server {server}, {}: ", database_address(&options));
            found
                .iter_mut()
                .for_each(|one| one.found.insert_str(0, &name));
        }
        findings.extend(found);
    }
    findings.extend(store::examine(&members));
    identities
}

/// Makes all checks of one server.
async fn examine_one(
    options: &PgConnectOptions,
    config: &Config,
    explain: ExplainSql,
    findings: &mut Vec<Finding>,
) -> (Option<String>, StoreMember) {
    let (mut identity, mut member) = (None, StoreMember::default());
    let options = options
        .clone()
        .application_name("runtraced doctor")
        .disable_statement_logging();
    let address = database_address(&options);
    let mut conn = match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => {
            findings.push(unreachable(&address, &explain(&error)));
            return (identity, member);
        }
        Err(_) => {
            let silent = format!("no answer within {CONNECT_TIMEOUT:?}; correct --database-url");
            findings.push(unreachable(&address, &silent));
            return (identity, member);
        }
    };
    findings.push(fine(CHECK, format!("{address} answers")));
    let asked = ask(&mut conn, &options, config, findings, &mut identity).await;
    if let Err(error) = asked {
        findings.push(unanswered(&explain(&error)));
    } else {
        match StoreMember::ask(&mut conn).await {
            Ok(found) => member = found,
            Err(error) => findings.push(unanswered(&explain(&error))),
        }
    }
    // The answers matter, not the farewell.
    let _ = conn.close().await;
    (identity, member)
}

async fn ask(
    conn: &mut PgConnection,
    options: &PgConnectOptions,
    config: &Config,
    findings: &mut Vec<Finding>,
    identity: &mut Option<String>,
) -> Result<(), sqlx::Error> {
    let statement_timeout = server::lift_statement_timeout(conn).await?;
    findings.push(pooler::examine(conn, options).await?);
    let facts = ServerFacts::ask(conn, &statement_timeout).await?;
    let writers = match config.writers {
        Some(writers) => writers,
        None => TraceLayout::find(conn).await?.fitting_writers(),
    };
    let connections = writers + OWN_CONNECTIONS + READ_CONNECTIONS;
    findings.extend([
        server::version(&facts),
        server::writable(&facts),
        server::encoding(&facts),
        server::durability(&facts),
        server::commits(&facts),
        server::connections(&facts, i32::try_from(connections).unwrap_or(i32::MAX)),
        server::timeouts(&facts),
        server::extensions(&facts),
        rights::of_role(&facts, config.migrate),
    ]);
    findings.push(rights::examine_reader(conn, &config.read_role, &facts.role).await?);
    findings.push(clock::examine(conn).await?);
    findings.extend(schema::examine(conn, config.migrate).await?);
    *identity = Some(identify_database(conn).await?);
    Ok(())
}

/// Why the later checks of the database are missing.
fn unanswered(why: &str) -> Finding {
    let (found, advice) = why
        .split_once("; ")
        .unwrap_or((why, "correct that, and run the command again"));
    let found = format!("no further checks of the database: {found}");
    failure(CHECK, found, advice)
}

fn unreachable(address: &str, why: &str) -> Finding {
    let (found, advice) = why.split_once("; ").unwrap_or((
        why,
        "look for the cause in the server's log, or correct --database-url (DATABASE_URL)",
    ));
    failure(
        CHECK,
        format!("cannot connect to {address}: {found}"),
        advice,
    )
}

/// How to connect to each server.
fn databases(config: &Config) -> Result<Vec<PgConnectOptions>, Finding> {
    match &config.database {
        DatabaseSource::Urls(servers) => Ok(servers.clone()),
        DatabaseSource::Private { data_dir, bin_dir } => {
            let programs = Binaries::find(bin_dir.as_deref(), None, data_dir);
            let url = private_url(
                PrivatePostgres::locate(data_dir).map(|found| found.url),
                programs,
            )?;
            parse_database_url(&url)
                .map(|options| vec![options])
                .map_err(|fault| failure(CHECK, fault, "remove connection.json"))
        }
    }
}

/// The URL of a private Postgres that runs; if none does, whether one could be started.
fn private_url(
    running: Result<String, PrivateError>,
    programs: Result<Binaries, PrivateError>,
) -> Result<String, Finding> {
    let not_running = match running {
        Ok(url) => return Ok(url),
        Err(error) => error,
    };
    Err(match (not_running, programs) {
        (PrivateError::NotRunning { .. }, Ok(programs)) => fine(
            CHECK,
            format!(
                "the private Postgres does not run; `runtraced serve` starts it with PostgreSQL {} of {}",
                programs.major,
                programs.dir.display()
            ),
        ),
        (PrivateError::NotRunning { .. }, Err(error)) | (error, _) => {
            let text = error.to_string();
            let (found, advice) = text.split_once("; ").unwrap_or((&text, ""));
            failure(CHECK, found, advice)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_database_that_cannot_be_reached() {
        let finding = unreachable("db:5432", "connection refused; start Postgres there");
        assert_eq!(finding.severity, Severity::Failure);
        assert_eq!(finding.advice, "start Postgres there");
        assert!(
            finding.found.contains("db:5432: connection refused"),
            "{finding:?}"
        );
    }

    #[test]
    fn what_the_server_refuses_is_told_with_what_to_do() {
        let refused = unreachable("db:5432", "not accepting connections (SQLSTATE 55000)");
        assert!(refused.advice.contains("server's log"), "{refused:?}");
        let stopped = unanswered("permission denied for table x; run `runtraced grant`");
        assert!(stopped.found.ends_with("for table x"), "{stopped:?}");
        assert_eq!(stopped.advice, "run `runtraced grant`");
    }

    #[test]
    fn a_private_postgres_that_cannot_be_started() {
        let stopped = || PrivateError::NotRunning {
            dir: "/data".into(),
        };
        let missing = PrivateError::NotInstalled {
            searched: String::new(),
            command: "apt-get install postgresql".to_owned(),
        };
        let finding = private_url(Err(stopped()), Err(missing)).unwrap_err();
        assert_eq!(finding.severity, Severity::Failure);
        assert!(
            finding.advice.contains("apt-get install postgresql"),
            "{finding:?}"
        );
        let programs = Binaries {
            dir: "/pg".into(),
            major: 17,
        };
        let finding = private_url(Err(stopped()), Ok(programs)).unwrap_err();
        assert_eq!(finding.severity, Severity::Ok);
    }
}
