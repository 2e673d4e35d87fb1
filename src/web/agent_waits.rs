//! How many agents may wait for decisions at the same time. They share the places of requests
//! with readers, and must leave them some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Half of the places of those with a key, and of those without one.
const MOST: usize = 512;
/// Of one key.
const MOST_OF_ONE: usize = 256;

/// The agents that wait, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentWaits(Arc<Mutex<HashMap<Option<Uuid>, usize>>>);

/// The place of one, until it is dropped.
#[derive(Debug)]
pub(super) struct AgentPlace {
    waits: AgentWaits,
    key: Option<Uuid>,
}

impl AgentWaits {
    fn by_key(&self) -> MutexGuard<'_, HashMap<Option<Uuid>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for the owner of a key, or for somebody without one. `None`: too many wait.
    pub(super) fn place(&self, key: Option<Uuid>) -> Option<AgentPlace> {
        let mut by_key = self.by_key();
        let own = by_key.get(&key).copied().unwrap_or(0);
        let has_room = match key {
            None => own < MOST,
            Some(_) => {
                let keyed = by_key.iter().filter(|(key, _)| key.is_some());
                own < MOST_OF_ONE && keyed.map(|(_, count)| count).sum::<usize>() < MOST
            }
        };
        has_room.then(|| {
            by_key.insert(key, own + 1);
            let waits = self.clone();
            AgentPlace { waits, key }
        })
    }
}

impl Drop for AgentPlace {
    fn drop(&mut self) {
        let mut by_key = self.waits.by_key();
        if let Some(count) = by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all() {
        let waits = AgentWaits::default();
        let take = |key: Option<Uuid>| {
            let mut places = Vec::new();
            while let Some(place) = waits.place(key) {
                places.push(place);
            }
            places
        };
        let keys = [1, 2, 3].map(|number| Some(Uuid::from_u128(number)));
        let keyless = take(None);
        let [first, second, third] = keys.map(take);
        let counts = [&keyless, &first, &second, &third].map(Vec::len);
        assert_eq!(counts, [512, 256, 256, 0]);
        drop(first);
        assert_eq!((take(keys[2]).len(), take(None).len()), (256, 0));
        drop((keyless, second));
        assert!(waits.by_key().is_empty());
    }
}
