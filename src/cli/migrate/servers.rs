//! `runtraced migrate` with several servers: they make one store.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context as _;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::cli::database::NoDatabase;
use crate::cli::output::{self, EXIT_REFUSED};
use crate::config::database_address;
use crate::query;
use crate::store::{
    JoinError, StorePlace, StoreServer, common_store, has_traces, identify_database, join_store,
};

/// The servers of a store.
pub(super) struct Store {
    id: Uuid,
    pub servers: Vec<Server>,
}

/// One of them.
pub(super) struct Server {
    pub place: StoreServer,
    pub options: PgConnectOptions,
}

impl Server {
    pub fn address(&self) -> String {
        database_address(&self.options)
    }
}

/// The store that several databases make or are to make. `None`: there is only one. Nothing changes.
///
/// # Errors
/// If a database does not answer, or they cannot be one store.
pub(super) async fn find(databases: &[PgConnectOptions]) -> anyhow::Result<Option<Store>> {
    if databases.len() == 1 {
        return Ok(None);
    }
    let (mut servers, mut found) = (Vec::new(), Vec::new());
    let mut identities = BTreeSet::new();
    for (place, options) in StoreServer::all(databases.len()).zip(databases) {
        let unreadable = || format!("cannot read the database at {}", database_address(options));
        let mut conn = query::connect(options).await.map_err(NoDatabase::from)?;
        let there = StorePlace::find(&mut conn).await.with_context(unreadable)?;
        if there.is_none() && has_traces(&mut conn).await.with_context(unreadable)? {
            anyhow::bail!(
                "the database at {} has traces already, and a store on several servers begins empty",
                database_address(options)
            );
        }
        if !identities.insert(identity(&mut conn).await.with_context(unreadable)?) {
            anyhow::bail!(
                "the database at {} was given twice",
                database_address(options)
            );
        }
        found.push((place, there));
        servers.push(Server {
            place,
            options: place.mark(options.clone()),
        });
    }
    let id = common_store(&found)?;
    Ok(Some(Store { id, servers }))
}

/// What tells a database from every other one, also from one in a copy of its cluster.
async fn identity(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    let started: String = sqlx::query_scalar("SELECT pg_postmaster_start_time()::text")
        .fetch_one(&mut *conn)
        .await?;
    Ok(format!("{} {started}", identify_database(conn).await?))
}

/// Notes in each database which server it is.
///
/// # Errors
/// If a database fails.
pub(super) async fn join(store: &Store) -> anyhow::Result<ExitCode> {
    for server in &store.servers {
        let mut conn = query::connect(&server.options)
            .await
            .map_err(NoDatabase::from)?;
        match join_store(&mut conn, store.id, server.place).await {
            Ok(()) => {}
            Err(JoinError::Refused(why)) => {
                let text = format!("server {}, {}: {why}", server.place, server.address());
                return Ok(output::fail(EXIT_REFUSED, text));
            }
            Err(JoinError::Sql(error)) => {
                let context = format!(
                    "cannot note that {} is a server of the store",
                    server.address()
                );
                return Err(error).context(context);
            }
        }
    }
    output::print(&format!("{} servers are one store\n", store.servers.len()))?;
    Ok(ExitCode::SUCCESS)
}
