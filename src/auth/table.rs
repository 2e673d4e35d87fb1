//! The keys that are valid, as the database last told them.
//!
//! A request is judged by this table alone, so a flood of invalid keys costs a
//! hash each and never reaches the database; and while the database is away the
//! keys that were valid stay so.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use uuid::{NonNilUuid, Uuid};

use super::key::PresentedKey;
use super::limits::{Limits, Rates};

/// A valid key, as it is stored.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct KeyRecord {
    pub id: Uuid,
    /// Of the key's text.
    pub sha256: [u8; 32],
    /// The only customer it may write for.
    pub customer: Option<NonNilUuid>,
    pub rates: Rates,
}

// Not derived: hashes are in no log.
impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("customer", &self.customer)
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

/// A valid key in use.
#[derive(Debug)]
pub struct ActiveKey {
    record: KeyRecord,
    pub(super) limits: Limits,
    /// Cancelled when it is no longer valid.
    pub(super) revoked: CancellationToken,
}

impl ActiveKey {
    fn new(record: KeyRecord) -> Self {
        Self {
            limits: Limits::new(record.rates),
            revoked: CancellationToken::new(),
            record,
        }
    }

    /// Whether it is this key; its limits may be others.
    fn is(&self, record: &KeyRecord) -> bool {
        self.record.sha256 == record.sha256 && self.record.customer == record.customer
    }

    /// The only customer that it may write for.
    pub(super) fn customer(&self) -> Option<NonNilUuid> {
        self.record.customer
    }
}

/// What was said of the requests' keys, for metrics.
#[derive(Debug, Default)]
#[allow(missing_docs)] // those of `Denied`
pub struct AuthCounts {
    pub missing: AtomicU64,
    pub malformed: AtomicU64,
    pub unknown: AtomicU64,
    pub not_loaded: AtomicU64,
    pub customer: AtomicU64,
    /// Requests and batches that had to wait for their key's limits.
    pub limited: AtomicU64,
}

/// What the table says of a key.
#[derive(Debug)]
pub(super) enum KeyCheck {
    Valid(Arc<ActiveKey>),
    Invalid,
    /// The database has not told any keys yet.
    NotLoaded,
}

type ById = HashMap<Uuid, Arc<ActiveKey>>;

/// The valid keys.
#[derive(Debug, Default)]
pub struct KeyTable {
    /// `None` until the database has told them.
    keys: RwLock<Option<ById>>,
    /// What became of requests' keys.
    pub counts: AuthCounts,
}

impl KeyTable {
    /// These are the valid keys from now on. One that is gone, or has become another,
    /// is revoked for all who use it. Returns whether anything is new.
    pub fn replace(&self, records: Vec<KeyRecord>) -> bool {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let first = keys.is_none();
        let mut old = keys.take().unwrap_or_default();
        let (mut new, mut changed) = (ById::with_capacity(records.len()), first);
        for record in records {
            let key = match old.remove(&record.id) {
                Some(key) if key.is(&record) => {
                    key.limits.set_rates(record.rates);
                    key
                }
                replaced => {
                    changed = true;
                    if let Some(key) = replaced {
                        key.revoked.cancel();
                    }
                    Arc::new(ActiveKey::new(record))
                }
            };
            new.insert(key.record.id, key);
        }
        // Whoever holds a key that is in the table no more is told.
        for gone in old.into_values() {
            changed = true;
            gone.revoked.cancel();
        }
        *keys = Some(new);
        changed
    }

    /// How many keys are valid; `None`: the database has not told yet.
    #[must_use]
    pub fn valid(&self) -> Option<usize> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().map(HashMap::len)
    }

    /// In constant time but for the lookup by id, which is no secret.
    pub(super) fn check(&self, presented: &PresentedKey) -> KeyCheck {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = keys.as_ref() else {
            return KeyCheck::NotLoaded;
        };
        let key = keys.get(&presented.id);
        let stored = key.map_or(&[0; 32], |key| &key.record.sha256);
        let same = bool::from(stored.ct_eq(&presented.sha256));
        match key {
            Some(key) if same => KeyCheck::Valid(key.clone()),
            _ => KeyCheck::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{NewKey, parse_key};
    use super::*;

    fn record(key: &NewKey) -> KeyRecord {
        KeyRecord {
            id: key.id,
            sha256: key.sha256,
            customer: None,
            rates: Rates::default(),
        }
    }

    fn check(table: &KeyTable, key: &NewKey) -> KeyCheck {
        table.check(&parse_key(key.text.as_bytes()).unwrap())
    }

    fn valid(table: &KeyTable, key: &NewKey) -> Arc<ActiveKey> {
        match check(table, key) {
            KeyCheck::Valid(key) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_known_before_the_database_has_told() {
        let table = KeyTable::default();
        let key = NewKey::generate().unwrap();
        assert!(matches!(check(&table, &key), KeyCheck::NotLoaded));
        assert!(table.replace(Vec::new()));
        assert!(matches!(check(&table, &key), KeyCheck::Invalid));
    }

    #[test]
    fn the_id_alone_opens_nothing() {
        let (table, key) = (KeyTable::default(), NewKey::generate().unwrap());
        table.replace(vec![record(&key)]);
        let other = NewKey {
            id: key.id,
            ..NewKey::generate().unwrap()
        };
        let forged = PresentedKey {
            id: other.id,
            sha256: other.sha256,
        };
        assert!(matches!(table.check(&forged), KeyCheck::Invalid));
        valid(&table, &key);
    }

    #[test]
    fn a_key_that_is_gone_is_revoked_where_it_is_in_use() {
        let (table, key) = (KeyTable::default(), NewKey::generate().unwrap());
        table.replace(vec![record(&key)]);
        let used = valid(&table, &key);
        assert!(!table.replace(vec![record(&key)]), "nothing is new");
        assert!(!used.revoked.is_cancelled());
        assert!(table.replace(Vec::new()));
        assert!(used.revoked.is_cancelled());
        assert!(matches!(check(&table, &key), KeyCheck::Invalid));
    }

    #[test]
    fn a_key_of_another_customer_is_another_key() {
        let (table, key) = (KeyTable::default(), NewKey::generate().unwrap());
        table.replace(vec![record(&key)]);
        let used = valid(&table, &key);
        let bound = KeyRecord {
            customer: NonNilUuid::new(Uuid::from_u128(1)),
            ..record(&key)
        };
        table.replace(vec![bound]);
        assert!(used.revoked.is_cancelled());
        assert_eq!(
            valid(&table, &key).customer().map(NonNilUuid::get),
            Some(Uuid::from_u128(1))
        );
    }

    #[test]
    fn a_debt_survives_a_reload() {
        let (table, key) = (KeyTable::default(), NewKey::generate().unwrap());
        let rates = Rates {
            max_events_per_second: Some(1),
            max_bytes_per_second: None,
        };
        let limited = KeyRecord {
            rates,
            ..record(&key)
        };
        table.replace(vec![limited.clone()]);
        valid(&table, &key).limits.charge(1_000, 0);
        table.replace(vec![limited]);
        assert!(!valid(&table, &key).limits.wait().is_zero());
    }
}
