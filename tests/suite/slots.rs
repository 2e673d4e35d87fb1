//! The layout in slots: how a database gets there, and what its tables and views do.

mod apart;
mod moving;
mod using;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;
use crate::support::tables::value;

/// A new database with four slots, whatever layout is tested.
async fn database() -> (TestDatabase, PgConnection) {
    let database = pg::plain_database().await;
    let (code, said) = runtraced(&["migrate", "--slots", "4"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let conn = database.connect().await;
    (database, conn)
}

/// The slot of a run, as the database says.
async fn slot_of(conn: &mut PgConnection, run: Uuid) -> Value {
    value(conn, &format!("SELECT run_slot('{run}')")).await
}

/// New ids of runs, in as many different slots.
async fn runs_apart<const N: usize>(conn: &mut PgConnection) -> [Uuid; N] {
    let mut runs: Vec<(Value, Uuid)> = Vec::new();
    while runs.len() < N {
        let run = crate::support::events::new_id();
        let slot = slot_of(conn, run).await;
        if runs.iter().all(|(taken, _)| *taken != slot) {
            runs.push((slot, run));
        }
    }
    std::array::from_fn(|n| runs[n].1)
}
