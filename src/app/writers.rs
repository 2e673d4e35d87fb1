//! How many writers the daemon starts.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::DaemonCore;
use crate::store::TraceLayout;

/// How long to ask a database for its slots. A daemon starts whether it is there or not.
const LIMIT: Duration = Duration::from_secs(2);

impl DaemonCore {
    /// As many as the flag says, or as the database has slots.
    pub(super) async fn writers(&self) -> usize {
        match self.config.writers {
            Some(writers) => writers,
            None => {
                let layout = timeout(LIMIT, self.layout()).await;
                let known = layout.ok().and_then(Result::ok);
                known.unwrap_or(TraceLayout::Plain).fitting_writers()
            }
        }
    }

    async fn layout(&self) -> Result<TraceLayout, sqlx::Error> {
        let options = self.servers[0].clone().disable_statement_logging();
        let mut conn = options.connect().await?;
        let layout = TraceLayout::find(&mut conn).await?;
        conn.close().await?;
        Ok(layout)
    }
}
