//! Commands that are given all servers of a store.

mod deleting;
mod doctor;
mod making;
mod reading;
mod writing;

use runtraced::proto::Event;
use runtraced::store::server_of;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::retention::rows::run_sql;
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;

/// A store of two servers.
struct TwoServers {
    databases: [TestDatabase; 2],
}

impl TwoServers {
    /// Two databases that are no store yet. A daemon may fill each of them.
    async fn new() -> Self {
        Self {
            databases: [pg::database().await, pg::database().await],
        }
    }

    /// Sends events to the server of their run.
    async fn send(&self, server: usize, events: Vec<Event>) {
        let daemon = Daemon::start(self.databases[server].url()).await;
        let sent = events.len() as u64;
        assert_eq!(daemon.submit(events).await.committed, sent);
        daemon.finish().await;
    }

    /// Makes them one store, though they have rows: only a test does that.
    async fn join(&self) {
        let store = new_id();
        for (place, database) in self.databases.iter().enumerate() {
            let mut conn = database.connect().await;
            let sql = format!(
                "CREATE FUNCTION public.store_server() RETURNS text LANGUAGE sql IMMUTABLE SET search_path = '' AS
                   $$ SELECT '{store} {}/2' $$;
                 GRANT EXECUTE ON FUNCTION public.store_server() TO PUBLIC",
                place + 1
            );
            run_sql(&mut conn, &sql).await;
        }
    }

    /// What the variable DATABASE_URL is.
    fn urls(&self) -> String {
        format!("{} {}", self.databases[0].url(), self.databases[1].url())
    }

    /// The same in another order.
    fn reversed(&self) -> String {
        format!("{} {}", self.databases[1].url(), self.databases[0].url())
    }

    async fn connect(&self) -> [PgConnection; 2] {
        [
            self.databases[0].connect().await,
            self.databases[1].connect().await,
        ]
    }

    /// Runs a command on all servers; it must succeed.
    async fn run(&self, args: &[&str]) -> String {
        let (code, said) = runtraced(args, &self.urls()).await;
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    /// The same of a command that prints JSON.
    async fn json(&self, args: &[&str]) -> Value {
        let said = self.run(args).await;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

/// A new id of a run or session of one of two servers.
fn id_on(server: usize) -> Uuid {
    let mut ids = std::iter::repeat_with(new_id);
    ids.find(|id| server_of(*id, 2) == server).unwrap()
}
