//! The valid keys, as last read from the database.
//!
//! Requests are checked against this table only. So an invalid key costs one hash and
//! no query, and keys stay valid while the database is away. A key that is not in the
//! table yet may make its request wait for the next load.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use uuid::{NonNilUuid, Uuid};

use super::key::PresentedKey;
use super::limits::{KeyLimits, Rates};
use super::lookup::KeyLookups;
use crate::listen::ClientConnection;

/// What a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAccess {
    /// Send events, and read nothing.
    #[default]
    Write,
    /// Read traces, and write nothing.
    Read,
    /// Read traces, and decide approvals.
    Decide,
}

impl KeyAccess {
    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Decide => "decide",
        }
    }

    /// The access of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Write, Self::Read, Self::Decide]
            .into_iter()
            .find(|access| access.name() == name)
    }
}

/// A valid key, as stored.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct KeyRecord {
    pub id: Uuid,
    /// The hash of the key's text.
    pub sha256: [u8; 32],
    /// The only customer that the key may write for, or read. `None`: any customer.
    pub customer: Option<NonNilUuid>,
    pub access: KeyAccess,
    pub rates: Rates,
}

// Not derived: hashes must not appear in logs.
impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("customer", &self.customer)
            .field("access", &self.access)
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

/// A valid key in use.
#[derive(Debug)]
pub struct ActiveKey {
    record: KeyRecord,
    pub(super) limits: KeyLimits,
    /// Cancelled when the key stops being valid.
    pub(super) revoked: CancellationToken,
}

impl ActiveKey {
    fn new(record: KeyRecord) -> Self {
        Self {
            limits: KeyLimits::new(record.rates),
            revoked: CancellationToken::new(),
            record,
        }
    }

    /// Whether `record` is the same key; its rates may differ.
    fn is_same_key(&self, record: &KeyRecord) -> bool {
        self.record.sha256 == record.sha256
            && self.record.customer == record.customer
            && self.record.access == record.access
    }

    /// The only customer that the key may write for. `None`: any customer.
    pub(super) fn customer(&self) -> Option<NonNilUuid> {
        self.record.customer
    }

    pub(super) fn access(&self) -> KeyAccess {
        self.record.access
    }

    pub(super) fn id(&self) -> Uuid {
        self.record.id
    }
}

/// Rejected and delayed requests, for metrics.
#[derive(Debug, Default)]
#[allow(missing_docs)] // the reasons are those of `Denied`
pub struct AuthCounts {
    pub missing: AtomicU64,
    pub malformed: AtomicU64,
    pub unknown: AtomicU64,
    pub not_loaded: AtomicU64,
    pub customer: AtomicU64,
    /// Requests and batches that had to wait for the limits of their key.
    pub limited: AtomicU64,
}

/// The result of a check.
#[derive(Debug)]
pub(super) enum KeyCheck {
    Valid(Arc<ActiveKey>),
    Invalid,
    /// No key has this id.
    Unknown,
    /// No keys have been read yet.
    NotLoaded,
}

type ById = HashMap<Uuid, Arc<ActiveKey>>;

/// The valid keys.
#[derive(Debug, Default)]
pub struct KeyTable {
    /// `None` until keys have been read.
    keys: RwLock<Option<ById>>,
    /// Rejected and delayed requests.
    pub counts: AuthCounts,
    /// Early loads for keys that are not in the table yet.
    pub lookups: KeyLookups,
}

impl KeyTable {
    /// Replaces the valid keys. A key that is gone or changed is revoked for everyone
    /// who uses it. Returns whether anything changed.
    pub fn replace(&self, records: Vec<KeyRecord>) -> bool {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let first = keys.is_none();
        let mut old = keys.take().unwrap_or_default();
        let (mut new, mut changed) = (ById::with_capacity(records.len()), first);
        for record in records {
            let key = match old.remove(&record.id) {
                Some(key) if key.is_same_key(&record) => {
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
        for gone in old.into_values() {
            changed = true;
            gone.revoked.cancel();
        }
        *keys = Some(new);
        changed
    }

    /// How many keys are valid; `None` until keys have been read.
    #[must_use]
    pub fn valid_count(&self) -> Option<usize> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().map(HashMap::len)
    }

    /// Checks a key in constant time, except for the lookup by id, which is not secret.
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
            Some(_) => KeyCheck::Invalid,
            None => KeyCheck::Unknown,
        }
    }

    /// Checks a key. If its id is unknown, the request waits for the next load, if its
    /// connection has no other request that does.
    pub(super) async fn check_or_load(
        &self,
        presented: &PresentedKey,
        connection: Option<&ClientConnection>,
    ) -> KeyCheck {
        let check = self.check(presented);
        if !matches!(check, KeyCheck::Unknown) {
            return check;
        }
        let Some(_place) = connection.and_then(ClientConnection::try_lookup) else {
            return check;
        };
        if !self.lookups.reloaded_for(presented.id).await {
            return check;
        }
        let check = self.check(presented);
        if matches!(check, KeyCheck::Unknown) {
            self.lookups.remember_unknown(presented.id);
        }
        check
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
            access: KeyAccess::Write,
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
    fn no_key_is_checked_before_keys_are_loaded() {
        let table = KeyTable::default();
        let key = NewKey::generate().unwrap();
        assert!(matches!(check(&table, &key), KeyCheck::NotLoaded));
        assert!(table.replace(Vec::new()));
        assert!(matches!(check(&table, &key), KeyCheck::Unknown));
    }

    #[test]
    fn the_id_alone_is_not_enough() {
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
        assert!(matches!(check(&table, &key), KeyCheck::Unknown));
    }

    #[test]
    fn a_key_of_another_customer_is_another_key() {
        let (table, key) = (KeyTable::default(), NewKey::generate().unwrap());
        table.replace(vec![record(&key)]);
        let used = valid(&table, &key);
        let tenant = KeyRecord {
            customer: NonNilUuid::new(Uuid::from_u128(1)),
            ..record(&key)
        };
        table.replace(vec![tenant]);
        assert!(used.revoked.is_cancelled());
        assert_eq!(
            valid(&table, &key).customer().map(NonNilUuid::get),
            Some(Uuid::from_u128(1))
        );
    }

    #[test]
    fn a_negative_balance_survives_a_reload() {
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
