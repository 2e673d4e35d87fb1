//! Sessions of people who have logged in to the page with a key.
//!
//! They are in memory only. A browser holds a random id, the daemon the hash of it and what it knows of the
//! key. So neither a stolen cookie nor the database gives a key away, and a session ends with its key, with a
//! log-out and with the daemon. Daemons that share an address do not share sessions.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::auth::Identity;

/// How long somebody stays logged in.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Sessions of all keys.
const MOST_SESSIONS: usize = 4_096;
/// Sessions of one key. Its oldest gives way.
const MOST_OF_A_KEY: usize = 64;
/// Random bytes of an id.
const ID_BYTES: usize = 32;

/// The hash of an id.
type IdHash = [u8; 32];

#[derive(Debug)]
struct WebSession {
    identity: Identity,
    begun: Instant,
}

/// The open sessions.
#[derive(Clone, Debug, Default)]
pub struct WebSessions {
    open: Arc<Mutex<HashMap<IdHash, WebSession>>>,
}

impl WebSessions {
    fn open(&self) -> MutexGuard<'_, HashMap<IdHash, WebSession>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session of the owner of a key. Returns its id; `None`: there is no randomness, or too many people
    /// are logged in.
    pub(super) fn begin(&self, identity: Identity) -> Option<String> {
        let mut random = [0; ID_BYTES];
        SysRng.try_fill_bytes(&mut random).ok()?;
        let mut id = String::with_capacity(2 * ID_BYTES);
        for byte in random {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        let key = identity.key_id()?;
        let mut open = self.open();
        open.retain(|_, session| session.is_good());
        if let Some(oldest) = oldest_of(&open, key) {
            open.remove(&oldest);
        }
        if open.len() >= MOST_SESSIONS {
            return None;
        }
        let begun = Instant::now();
        open.insert(hash(&id), WebSession { identity, begun });
        Some(id)
    }

    /// Whose login has this id, if it is still good.
    pub(super) fn identity(&self, id: &str) -> Option<Identity> {
        let open = self.open();
        let session = open.get(&hash(id)).filter(|session| session.is_good())?;
        Some(session.identity.clone())
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.open().remove(&hash(id));
    }
}

impl WebSession {
    fn is_good(&self) -> bool {
        self.begun.elapsed() < SESSION_LIFE && !self.identity.is_revoked()
    }
}

/// The oldest session of a key that has as many as it may.
fn oldest_of(open: &HashMap<IdHash, WebSession>, key: Uuid) -> Option<IdHash> {
    let of_key = open
        .iter()
        .filter(|(_, session)| session.identity.key_id() == Some(key));
    if of_key.clone().count() < MOST_OF_A_KEY {
        return None;
    }
    of_key
        .min_by_key(|(_, session)| session.begun)
        .map(|(id, _)| *id)
}

fn hash(id: &str) -> IdHash {
    Sha256::digest(id.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{KeyAccess, KeyRecord, KeyTable, Rates};

    /// The owners of keys, and the table that they are in.
    fn owners(count: u128) -> (Arc<KeyTable>, Vec<Identity>) {
        let table = Arc::new(KeyTable::default());
        let records: Vec<KeyRecord> = (1..=count)
            .map(|id| KeyRecord {
                id: Uuid::from_u128(id),
                sha256: [0; 32],
                customer: None,
                access: KeyAccess::Read,
                rates: Rates::default(),
            })
            .collect();
        table.replace(records.clone());
        let of = |record: &KeyRecord| Identity::of_key(&table, record.id).unwrap();
        let owners = records.iter().map(of).collect();
        (table, owners)
    }

    #[test]
    fn a_session_ends_with_a_log_out_and_with_its_key() {
        let (table, owners) = owners(1);
        let sessions = WebSessions::default();
        let (one, two) = (
            sessions.begin(owners[0].clone()).unwrap(),
            sessions.begin(owners[0].clone()).unwrap(),
        );
        assert!(one != two && one.len() == 64);
        assert_eq!(
            sessions.identity(&one).unwrap().key_id(),
            owners[0].key_id()
        );
        sessions.end(&one);
        assert!(sessions.identity(&one).is_none() && sessions.identity(&two).is_some());
        table.replace(Vec::new());
        assert!(sessions.identity(&two).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_a_key_gives_up_its_own() {
        let (_table, owners) = owners(66);
        let sessions = WebSessions::default();
        let first = sessions.begin(owners[0].clone()).unwrap();
        for _ in 0..MOST_OF_A_KEY {
            sessions.begin(owners[0].clone()).unwrap();
        }
        assert!(sessions.identity(&first).is_none());
        assert_eq!(sessions.open().len(), MOST_OF_A_KEY);
        let others = owners[1..]
            .iter()
            .flat_map(|owner| vec![owner; MOST_OF_A_KEY]);
        let refused = others
            .filter(|owner| sessions.begin((*owner).clone()).is_none())
            .count();
        assert_eq!(sessions.open().len(), MOST_SESSIONS);
        assert_eq!(refused, 66 * MOST_OF_A_KEY - MOST_SESSIONS);
    }

    #[test]
    fn an_old_session_is_none() {
        let (_table, owners) = owners(1);
        let sessions = WebSessions::default();
        let id = sessions.begin(owners[0].clone()).unwrap();
        let long_ago = Instant::now().checked_sub(SESSION_LIFE).unwrap();
        sessions.open().get_mut(&hash(&id)).unwrap().begun = long_ago;
        assert!(sessions.identity(&id).is_none());
    }
}
