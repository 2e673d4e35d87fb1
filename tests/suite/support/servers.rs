//! A store that is spread over several servers: databases of the one cluster of all tests, or clusters that
//! a test may stop.

use runtraced::store::server_of;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::events::new_id;
use super::pg::{self, TestDatabase};
use super::process::runtraced;

/// A store on several databases.
pub struct TestStore {
    databases: Vec<TestDatabase>,
}

/// A new store of so many servers, in the layout that is tested.
pub async fn store(servers: usize) -> TestStore {
    let mut databases = Vec::with_capacity(servers);
    for _ in 0..servers {
        databases.push(pg::database().await);
    }
    let store = TestStore { databases };
    join(&store.urls()).await;
    store
}

/// Makes databases a store.
pub async fn join(urls: &str) {
    let (code, said) = runtraced(&["migrate"], urls).await;
    assert_eq!(code, 0, "{said}");
}

impl TestStore {
    /// The URLs of all servers, as `DATABASE_URL` takes them.
    pub fn urls(&self) -> String {
        let urls: Vec<&str> = self.databases.iter().map(TestDatabase::url).collect();
        urls.join(" ")
    }

    /// The URL of each server.
    pub fn each(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().map(TestDatabase::url)
    }

    /// The name of a server's database.
    pub fn name_of(&self, server: usize) -> &str {
        &self.databases[server].name
    }

    /// Connections to all servers.
    pub async fn connect(&self) -> Vec<PgConnection> {
        connect_all(&self.urls()).await
    }
}

/// Connections to several databases.
pub async fn connect_all(urls: &str) -> Vec<PgConnection> {
    let mut connections = Vec::new();
    for url in urls.split(' ') {
        connections.push(PgConnection::connect(url).await.unwrap());
    }
    connections
}

/// A new id of a run or session that is on this server.
pub fn id_on(server: usize, servers: usize) -> Uuid {
    loop {
        let id = new_id();
        if server_of(id, servers) == server {
            return id;
        }
    }
}
