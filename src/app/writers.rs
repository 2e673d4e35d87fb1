//! How many writers the daemon starts: it asks each server.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::DaemonCore;
use crate::store::{TraceLayout, check_server};

/// How long to ask a database for its slots. A daemon starts whether it is there or not.
const LIMIT: Duration = Duration::from_secs(2);

impl DaemonCore {
    /// For each server, as many as the flag says, or as its database has slots. Asks all servers, so that those of different
    /// stores are known before anything is written.
    pub(super) async fn writers(&self) -> Vec<usize> {
        // All at once: some may be away.
        let asked: Vec<_> = self
            .servers
            .iter()
            .map(|server| tokio::spawn(timeout(LIMIT, layout(server.options.clone()))))
            .collect();
        let mut writers = Vec::with_capacity(asked.len());
        for answer in asked {
            let layout = answer.await.ok().and_then(Result::ok).and_then(Result::ok);
            let fitting = layout.unwrap_or(TraceLayout::Plain).fitting_writers();
            writers.push(self.config.writers.unwrap_or(fitting));
        }
        writers
    }
}

async fn layout(options: PgConnectOptions) -> Result<TraceLayout, sqlx::Error> {
    let options = options.disable_statement_logging();
    let mut conn = options.connect().await?;
    check_server(&mut conn).await?;
    let layout = TraceLayout::find(&mut conn).await?;
    conn.close().await?;
    Ok(layout)
}
