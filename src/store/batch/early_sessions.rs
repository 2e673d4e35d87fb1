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

/// The sessions to make before a batch.
#[derive(Debug)]
pub struct EarlySessions {
    ids: Vec<Uuid>,
    /// The earliest time that an event names each.
    times: Vec<PgTime>,
}

impl EarlySessions {
    /// The sessions that events name. `None`: there are none to make, so nobody need ask the database.
    ///
    /// If the events are refused afterwards, the sessions stay without content, unless `--retain` or a
    /// rule deletes them. So an event that is written alone, as those that Postgres refused before,
    /// makes none. Sessions that a tenant's event names are left to the batch: only the locks of the
    /// batch tell whether the tenant may have them.
    pub fn of(events: &[&Event]) -> Option<Self> {
        let mut sessions: HashMap<Uuid, (Timestamp, bool)> = HashMap::new();
        for event in events {
            if let Some(session) = event.session_id() {
                let (at, has_tenant) = sessions.entry(session).or_insert((event.time, false));
                *at = event.time.min(*at);
                *has_tenant |= event.tenant.is_some();
            }
        }
        let free = sessions.into_iter().filter(|(_, (_, tenant))| !tenant);
        let (ids, times): (Vec<_>, Vec<_>) = free.map(|(id, (at, _))| (id, PgTime(at))).unzip();
        (events.len() > 1 && !ids.is_empty()).then_some(Self { ids, times })
    }

    /// Makes those that do not exist, in an open transaction.
    ///
    /// # Errors
    /// When Postgres refuses or does not answer.
    pub async fn make(&self, conn: &mut PgConnection) -> Result<(), BatchError> {
        sqlx::raw_sql(SETTINGS).execute(&mut *conn).await?;
        sqlx::query(include_str!("../sql/make_sessions.sql"))
            .bind(&self.ids)
            .bind(&self.times)
            .execute(conn)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::NonNilUuid;

    use super::*;
    use crate::event::{EventBody, Heartbeat, SessionUpsert};

    fn upsert(second: i64, session: u128) -> Event {
        let body = SessionUpsert {
            session_id: Uuid::from_u128(session),
            customer_id: None,
            user_id: None,
            title: None,
            external_id: None,
            metadata: None,
        };
        let time = Timestamp::from_unix(second, 0).unwrap();
        Event::new(time, EventBody::SessionUpsert(body))
    }

    #[test]
    fn sessions_without_a_tenant_have_their_earliest_time() {
        let mut owned = upsert(1, 2);
        owned.tenant = NonNilUuid::new(Uuid::from_u128(9));
        let events = [upsert(5, 1), upsert(3, 1), upsert(4, 2), owned];
        let events: Vec<&Event> = events.iter().collect();
        let early = EarlySessions::of(&events).unwrap();
        assert_eq!(early.ids, [Uuid::from_u128(1)]);
        assert_eq!(early.times[0].0, Timestamp::from_unix(3, 0).unwrap());
    }

    #[test]
    fn nothing_is_made_for_one_event_or_without_sessions() {
        let alone = upsert(1, 1);
        assert!(EarlySessions::of(&[&alone]).is_none());
        let run_id = Uuid::from_u128(7);
        let sign = Event::new(alone.time, EventBody::Heartbeat(Heartbeat { run_id }));
        assert!(EarlySessions::of(&[&sign, &sign]).is_none());
    }
}
