//! Makes new sessions before the batch that names them, in a short transaction of its own.
//!
//! Runs of one session are in several slots, so several writers meet a new session at once. Whoever
//! inserts its row makes the others wait until the transaction ends. A whole batch would take long;
//! this takes about a millisecond.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::BatchError;
use crate::event::{Event, Timestamp};
use crate::store::encode::PgTime;

/// The batch that follows makes again what a crash loses, so nobody waits for the disk. And it waits itself
/// for whoever holds a session for long.
const SETTINGS: &str = "SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = '100ms'";

/// Makes the sessions that events name and that do not exist. If the events are refused afterwards, the
/// sessions stay without content, unless `--retain` or a rule deletes them. So an event that is
/// written alone, as those that Postgres refused before, makes none.
///
/// Sessions that a tenant's event names are left to the batch: only the locks of the batch tell
/// whether the tenant may have them.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn make_sessions_early(
    conn: &mut PgConnection,
    events: &[&Event],
) -> Result<(), BatchError> {
    let (ids, times): (Vec<Uuid>, Vec<PgTime>) = without_tenant(events).into_iter().unzip();
    if ids.is_empty() || events.len() == 1 {
        return Ok(());
    }
    sqlx::raw_sql(SETTINGS).execute(&mut *conn).await?;
    sqlx::query(include_str!("../sql/make_sessions.sql"))
        .bind(ids)
        .bind(times)
        .execute(conn)
        .await?;
    Ok(())
}

/// The sessions that only events without a tenant name, with the earliest time of each.
fn without_tenant(events: &[&Event]) -> HashMap<Uuid, PgTime> {
    let mut sessions: HashMap<Uuid, (Timestamp, bool)> = HashMap::new();
    for event in events {
        if let Some(session) = event.session_id() {
            let (at, has_tenant) = sessions.entry(session).or_insert((event.time, false));
            *at = event.time.min(*at);
            *has_tenant |= event.tenant.is_some();
        }
    }
    let free = sessions.into_iter().filter(|(_, (_, tenant))| !tenant);
    free.map(|(id, (at, _))| (id, PgTime(at))).collect()
}
