//! The places of an endpoint's connections, and who gives way when all are taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::ClientConnection;

/// The open connections of one endpoint.
#[derive(Debug)]
pub(super) struct ConnectionPlaces {
    limit: usize,
    /// Whether connections without a valid key give way to new ones.
    displace_keyless: bool,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    /// By age: the oldest first.
    by_number: BTreeMap<u64, ClientConnection>,
}

impl OpenConnections {
    /// The connection that gives way: the oldest without a key and without a request,
    /// else the oldest without a key.
    fn displaceable(&self) -> Option<u64> {
        let keyless = || self.by_number.iter().filter(|(_, one)| one.is_keyless());
        let idle = keyless().find(|(_, one)| one.is_idle());
        idle.or_else(|| keyless().next()).map(|(number, _)| *number)
    }
}

/// What became of a new connection.
#[derive(Debug)]
pub(super) enum Entry {
    Free(ConnectionPlace),
    /// Another connection is closed for it.
    Displaced(ConnectionPlace),
    Full,
}

impl ConnectionPlaces {
    pub(super) fn new(limit: usize, displace_keyless: bool) -> Arc<Self> {
        Arc::new(Self {
            limit,
            displace_keyless,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if need be that of a connection without a key.
    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut open = self.open();
        let mut displaced = None;
        if open.by_number.len() >= self.limit {
            let number = match self.displace_keyless {
                true => open.displaceable(),
                false => None,
            };
            displaced = number.and_then(|number| open.by_number.remove(&number));
            if displaced.is_none() {
                return Entry::Full;
            }
        }
        let number = open.next;
        open.next += 1;
        let connection = ClientConnection::new();
        open.by_number.insert(number, connection.clone());
        let place = ConnectionPlace {
            places: self.clone(),
            number,
            connection,
        };
        match displaced {
            Some(other) => {
                other.displace();
                Entry::Displaced(place)
            }
            None => Entry::Free(place),
        }
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    places: Arc<ConnectionPlaces>,
    number: u64,
    pub(super) connection: ClientConnection,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.open().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn place(entry: Entry) -> ConnectionPlace {
        match entry {
            Entry::Free(place) | Entry::Displaced(place) => place,
            Entry::Full => panic!("full"),
        }
    }

    fn is_displaced(place: &ConnectionPlace) -> bool {
        !place.places.open().by_number.contains_key(&place.number)
    }

    #[test]
    fn the_oldest_idle_connection_without_a_key_gives_way() {
        let places = ConnectionPlaces::new(4, true);
        let [keyed, busy, idle, newer] = [(); 4].map(|()| place(places.enter()));
        let revoked = CancellationToken::new();
        keyed.connection.present_key(&revoked);
        let request = busy.connection.count_other();
        let fifth = places.enter();
        assert!(matches!(fifth, Entry::Displaced(_)));
        assert!(is_displaced(&idle) && !is_displaced(&newer));
        for one in [&newer.connection, &place(fifth).connection] {
            one.present_key(&revoked);
        }
        // A free place again: the fifth is dropped.
        let _sixth = match places.enter() {
            Entry::Free(place) => {
                place.connection.present_key(&revoked);
                place
            }
            other => panic!("{other:?}"),
        };
        let seventh = place(places.enter());
        assert!(is_displaced(&busy), "only a request protects it");
        drop(request);
        seventh.connection.present_key(&revoked);
        assert!(matches!(places.enter(), Entry::Full));
        revoked.cancel();
        assert!(matches!(places.enter(), Entry::Displaced(_)));
        assert!(is_displaced(&keyed));
    }

    #[test]
    fn without_displacing_a_full_endpoint_takes_no_more() {
        let places = ConnectionPlaces::new(1, false);
        let first = place(places.enter());
        assert!(matches!(places.enter(), Entry::Full));
        drop(first);
        assert!(matches!(places.enter(), Entry::Free(_)));
    }
}
