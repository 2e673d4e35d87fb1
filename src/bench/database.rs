//! The scratch database that a benchmark fills and truncates.

use anyhow::{Context as _, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::process;
use crate::config::parse_database_url;
use crate::store::{TraceLayout, is_conflict, migrate};

/// How often to try to empty the tables.
const TRUNCATE_ATTEMPTS: u32 = 20;
/// Tables that workloads fill, parents first.
pub const TABLES: [&str; 8] = [
    "agent_sessions",
    "agent_runs",
    "agent_steps",
    "agent_messages",
    "agent_token_counts",
    "approvals",
    "agent_step_aliases",
    "agent_contents",
];

/// Tables that `--content-once` fills in addition. Comparisons leave them out: they hold random ids.
pub const SHARED_TABLES: [&str; 4] = [
    "agent_content_scopes",
    "agent_run_scopes",
    "agent_shared_contents",
    "agent_stale_scopes",
];

/// Columns that differ between equal deliveries. They hold a time of the database's clock,
/// or whether the run existed when the alias was written.
const NONDETERMINISTIC_COLUMNS: &[(&str, &str)] = &[
    ("agent_runs", "abandon_at"),
    ("agent_runs", "changed_at"),
    ("agent_sessions", "changed_at"),
    ("agent_step_aliases", "created_at"),
    ("agent_step_aliases", "run_pending"),
];

/// SQLSTATE: the role may not write a checkpoint.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A migrated database for one benchmark process.
#[derive(Clone, Debug)]
pub struct ScratchDatabase {
    name: String,
    server: PgConnectOptions,
    /// The daemon's DATABASE_URL.
    pub url: String,
    options: PgConnectOptions,
}

impl ScratchDatabase {
    /// Names this process's database on the server of `url`. Does not create it.
    ///
    /// # Errors
    /// When `url` is not a valid URL of Postgres.
    pub fn for_this_process(url: &str) -> anyhow::Result<Self> {
        Self::of_this_process(url, "")
    }

    /// The same for one of several databases, whose name ends with `suffix`.
    ///
    /// # Errors
    /// When `url` is not a valid URL of Postgres.
    pub fn of_this_process(url: &str, suffix: &str) -> anyhow::Result<Self> {
        let server = parse_database_url(url).map_err(anyhow::Error::msg)?;
        let name = format!("runtraced_bench_{}{suffix}", std::process::id());
        Ok(Self {
            url: with_database(url, &name)?,
            options: server.clone().database(&name),
            name,
            server,
        })
    }

    /// Creates and migrates the database; as a copy of another one of the server, if given.
    ///
    /// # Errors
    /// When the server is unreachable or the role may not create databases.
    pub async fn create(&self, template: Option<&str>) -> anyhow::Result<()> {
        let mut conn = connect(&self.server).await?;
        let template = template.map(|name| format!(" TEMPLATE \"{}\"", name.replace('"', "\"\"")));
        let create = format!(
            "CREATE DATABASE {}{}",
            self.name,
            template.unwrap_or_default()
        );
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut conn)
            .await?;
        migrate(&mut self.connect().await?).await?;
        Ok(())
    }

    /// Drops the database.
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let mut conn = connect(&self.server).await?;
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut conn)
            .await?;
        Ok(())
    }

    /// Opens a plain connection, as psql does.
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        let conn = connect(&self.options).await?;
        if self.options.get_socket().is_none() {
            crate::store::turn_off_nagle(self.options.get_port());
        }
        Ok(conn)
    }

    /// Truncates the tables, then writes a checkpoint, so that none is due during the next
    /// measurement.
    ///
    /// # Errors
    /// When the server is unreachable or the role may not truncate.
    pub async fn truncate(&self) -> anyhow::Result<()> {
        let mut conn = self.connect().await?;
        let layout = TraceLayout::find(&mut conn).await?;
        let mut tables = Vec::new();
        for name in TABLES.iter().chain(&SHARED_TABLES) {
            tables.extend(layout.tables_of(name));
        }
        let truncate = format!(
            "TRUNCATE {}, ingest_dead_letters, ingest_tombstones CASCADE",
            tables.join(", ")
        );
        let mut attempts = TRUNCATE_ATTEMPTS;
        while let Err(error) = sqlx::raw_sql(AssertSqlSafe(truncate.as_str()))
            .execute(&mut conn)
            .await
        {
            // A daemon works on the tables in the background, and locks them in other orders.
            attempts -= 1;
            if attempts == 0 || !is_conflict(&error) {
                return Err(error.into());
            }
        }
        match sqlx::raw_sql("CHECKPOINT").execute(&mut conn).await {
            // Without the privilege, checkpoints happen at any time, for both ways alike.
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) =>
            {
                Ok(())
            }
            done => Ok(done.map(drop)?),
        }
    }

    /// The process id of the postmaster; `None` when the server is on another machine.
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn postmaster_pid(&self) -> anyhow::Result<Option<u32>> {
        let mut conn = self.connect().await?;
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut conn)
            .await?;
        let host = self.options.get_host();
        let here = self.options.get_socket().is_some()
            || host.starts_with('/')
            || ["localhost", "127.0.0.1", "::1"].contains(&host);
        let backend = u32::try_from(backend).ok().filter(|_| here);
        Ok(backend.and_then(process::parent_pid))
    }

    /// The number of rows in each of [`TABLES`].
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn row_counts(&self) -> anyhow::Result<[u64; TABLES.len()]> {
        let mut conn = self.connect().await?;
        let mut counts = [0; TABLES.len()];
        for (count, table) in counts.iter_mut().zip(TABLES) {
            let query = format!("SELECT count(*) FROM {table}");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(query))
                .fetch_one(&mut conn)
                .await?;
            *count = u64::try_from(rows)?;
        }
        Ok(counts)
    }

    /// A digest of the content of all tables, except [`NONDETERMINISTIC_COLUMNS`].
    /// It does not depend on the order of rows.
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn content_digest(&self) -> anyhow::Result<String> {
        let mut conn = self.connect().await?;
        let mut digests = Vec::new();
        for table in TABLES {
            let columns = columns(&mut conn, table).await?;
            let columns: Vec<_> = columns
                .iter()
                .filter(|column| !NONDETERMINISTIC_COLUMNS.contains(&(table, column.as_str())))
                .map(String::as_str)
                .collect();
            let query = format!(
                "SELECT coalesce(sum(hashtextextended(ROW({})::text, 0)::numeric), 0)::text FROM {table}",
                columns.join(", ")
            );
            let digest: String = sqlx::query_scalar(AssertSqlSafe(query))
                .fetch_one(&mut conn)
                .await?;
            digests.push(digest);
        }
        Ok(digests.join(" "))
    }

    /// The current position of the write-ahead log, in bytes.
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn wal_bytes(&self) -> anyhow::Result<f64> {
        let mut conn = self.connect().await?;
        let bytes = sqlx::query_scalar(
            "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::double precision",
        )
        .fetch_one(&mut conn)
        .await?;
        Ok(bytes)
    }

    /// The server's version, and its settings that affect writes.
    ///
    /// # Errors
    /// When the server is unreachable.
    pub async fn settings(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut conn = self.connect().await?;
        let rows = sqlx::query_as(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('server_version', 'fsync', \
             'synchronous_commit', 'full_page_writes', 'wal_compression', 'shared_buffers', 'max_wal_size', \
             'wal_buffers', 'default_toast_compression', 'commit_delay', 'data_checksums') ORDER BY name",
        )
        .fetch_all(&mut conn)
        .await?;
        Ok(rows)
    }
}

/// The writable columns of a table: all but generated ones.
///
/// # Errors
/// When the server is unreachable.
pub async fn columns(conn: &mut PgConnection, table: &str) -> anyhow::Result<Vec<String>> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute \
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \
         ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(conn)
    .await?;
    if columns.is_empty() {
        bail!("{table} has no columns");
    }
    Ok(columns)
}

async fn connect(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let options = options
        .clone()
        .application_name("runtraced bench")
        .disable_statement_logging();
    PgConnection::connect_with(&options)
        .await
        .context("cannot connect to Postgres")
}

/// Replaces the database name in a URL: the path before `?`.
fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = base
        .split_once("://")
        .context("not a URL of Postgres: expected postgres://…")?;
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_name_of_a_url_changes() {
        for (url, want) in [
            (
                "postgresql://me:p%2Fw@host:1/a?b=c/d",
                "postgresql://me:p%2Fw@host:1/x?b=c/d",
            ),
            ("postgres://host", "postgres://host/x"),
            ("postgres:///a?host=/tmp/s", "postgres:///x?host=/tmp/s"),
        ] {
            assert_eq!(with_database(url, "x").unwrap(), want);
        }
    }
}
