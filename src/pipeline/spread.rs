//! Divides a batch among the servers of the store.
//!
//! An event goes to the server that has its run, or its session if it has no run. What is said of a session
//! itself goes to every server: any of them may have runs of the session, and the policies of its tables
//! ask the session whose they are.

use uuid::Uuid;

use super::ticket::COPY;
use crate::event::{Event, EventBody};
use crate::store::server_of;

/// The events of each server, with their positions in the batch; [`COPY`] for those that another server
/// has too.
pub(super) fn by_server(events: Vec<(u32, Event)>, servers: usize) -> Vec<Vec<(u32, Event)>> {
    if servers == 1 {
        return vec![events];
    }
    let mut spread: Vec<Vec<(u32, Event)>> = (0..servers).map(|_| Vec::new()).collect();
    let mut last: Option<(Uuid, usize)> = None;
    for (index, event) in events {
        let owner = event.run_id().or(event.session_id()).unwrap_or_default();
        // Events of one run follow one another.
        let (_, home) = *last.insert(
            last.filter(|(known, _)| *known == owner)
                .unwrap_or_else(|| (owner, server_of(owner, servers))),
        );
        if is_for_all(&event) {
            for (server, part) in spread.iter_mut().enumerate() {
                if server != home {
                    part.push((COPY, event.clone()));
                }
            }
        }
        spread[home].push((index, event));
    }
    spread
}

/// The bytes of the copies that [`by_server`] makes.
pub(super) fn copied_bytes(events: &[(u32, Event)], servers: usize) -> usize {
    if servers == 1 {
        return 0;
    }
    let copied = events.iter().filter(|(_, event)| is_for_all(event));
    copied.map(|(_, event)| event.weight_bytes()).sum::<usize>() * (servers - 1)
}

fn is_for_all(event: &Event) -> bool {
    matches!(event.body, EventBody::SessionUpsert(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Heartbeat, SessionUpsert, Timestamp};

    fn event(body: EventBody) -> Event {
        Event::new(Timestamp::from_unix(0, 0).unwrap(), body)
    }

    fn heartbeat(n: u128) -> Event {
        event(EventBody::Heartbeat(Heartbeat {
            run_id: Uuid::from_u128(n),
        }))
    }

    fn session(n: u128) -> Event {
        event(EventBody::SessionUpsert(SessionUpsert {
            session_id: Uuid::from_u128(n),
            customer_id: None,
            user_id: None,
            title: None,
            external_id: None,
            metadata: None,
        }))
    }

    #[test]
    fn runs_are_on_one_server_and_sessions_on_all() {
        let events: Vec<Event> = (0..300)
            .flat_map(|n| [heartbeat(n), heartbeat(n), session(n)])
            .collect();
        let count = events.len();
        let batch: Vec<(u32, Event)> = (0..).zip(events).collect();
        let copies = copied_bytes(&batch, 3);
        assert_eq!(copied_bytes(&batch, 1), 0);
        let spread = by_server(batch.clone(), 3);
        let mut indexes = Vec::new();
        let mut bytes = 0;
        for (server, part) in spread.iter().enumerate() {
            let sessions = part.iter().filter(|(_, event)| is_for_all(event));
            assert_eq!(sessions.count(), 300, "each server has all sessions");
            let runs = part.iter().filter_map(|(_, event)| event.run_id());
            let runs: Vec<Uuid> = runs.collect();
            assert!(runs.len() > 150, "{}", runs.len());
            assert!(runs.iter().all(|run| server_of(*run, 3) == server));
            let copies = part.iter().filter(|(index, _)| *index == COPY);
            bytes += copies.map(|(_, event)| event.weight_bytes()).sum::<usize>();
            let own = part.iter().map(|(index, _)| *index);
            let own: Vec<u32> = own.filter(|index| *index != COPY).collect();
            assert!(own.is_sorted(), "in the order of the batch");
            indexes.extend(own);
        }
        assert_eq!(bytes, copies);
        indexes.sort_unstable();
        let all: Vec<u32> = (0..).take(count).collect();
        assert_eq!(indexes, all, "each event has one home");
        assert_eq!(by_server(batch.clone(), 1), [batch]);
    }
}
