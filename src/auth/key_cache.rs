//! The key cache: the last known keys in a file. With it, a daemon that starts while
//! the database is away accepts the same keys as before.
//!
//! The file holds hashes, not keys. It lies beside the spool, which is as sensitive.
//! Its content is valid only until the database is reached.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::{NonNilUuid, Uuid};

use super::limits::Rates;
use super::table::{KeyAccess, KeyRecord};

/// The name of the file in the spool's folder.
const FILE: &str = "keys.json";
/// The name under which a new file is written before it replaces the old one.
const TEMPORARY: &str = "keys.json.new";

/// The file in a folder that belongs to the daemon.
#[derive(Clone, Debug)]
pub struct KeyCache {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct CachedKey {
    id: Uuid,
    sha256: String,
    customer: Option<Uuid>,
    /// Files of older versions hold only keys that write.
    #[serde(default = "written_access")]
    access: String,
    max_events_per_second: Option<u64>,
    max_bytes_per_second: Option<u64>,
}

fn written_access() -> String {
    KeyAccess::Write.name().to_owned()
}

impl KeyCache {
    /// The cache in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Reads the cached keys; `None` if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn read(&self) -> io::Result<Option<Vec<KeyRecord>>> {
        let text = match fs::read(self.folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let cached: Vec<CachedKey> = serde_json::from_slice(&text)?;
        let records: Option<Vec<KeyRecord>> =
            cached.into_iter().map(CachedKey::into_record).collect();
        // All or none: a tenant key that lost its customer could write for everybody.
        records
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a list of keys"))
    }

    /// Replaces the cached keys atomically.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, records: &[KeyRecord]) -> io::Result<()> {
        let cached: Vec<CachedKey> = records.iter().map(CachedKey::from_record).collect();
        let temporary = self.folder.join(TEMPORARY);
        // A leftover file may have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(&cached)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

impl CachedKey {
    fn from_record(record: &KeyRecord) -> Self {
        let hex = record.sha256.iter().map(|byte| format!("{byte:02x}"));
        Self {
            id: record.id,
            sha256: hex.collect(),
            customer: record.customer.map(NonNilUuid::get),
            access: record.access.name().to_owned(),
            max_events_per_second: record.rates.max_events_per_second,
            max_bytes_per_second: record.rates.max_bytes_per_second,
        }
    }

    fn into_record(self) -> Option<KeyRecord> {
        let mut sha256 = [0; 32];
        let is_hex = self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || self.sha256.len() != 2 * sha256.len() {
            return None;
        }
        for (index, byte) in sha256.iter_mut().enumerate() {
            let digits = self.sha256.get(2 * index..2 * index + 2)?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        let customer = match self.customer.map(NonNilUuid::new) {
            Some(None) => return None,
            customer => customer.flatten(),
        };
        Some(KeyRecord {
            id: self.id,
            sha256,
            customer,
            // All or none: a key that may read must not turn into one that writes.
            access: KeyAccess::named(&self.access)?,
            rates: Rates {
                max_events_per_second: self.max_events_per_second,
                max_bytes_per_second: self.max_bytes_per_second,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn record(id: u128, customer: u128) -> KeyRecord {
        KeyRecord {
            id: Uuid::from_u128(id),
            sha256: [id.to_le_bytes()[0].wrapping_mul(31); 32],
            customer: NonNilUuid::new(Uuid::from_u128(customer)),
            access: if id == 200 {
                KeyAccess::Read
            } else {
                KeyAccess::Write
            },
            rates: Rates {
                max_events_per_second: Some(7),
                max_bytes_per_second: None,
            },
        }
    }

    #[test]
    fn the_last_written_keys_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = KeyCache::new(dir.path());
        assert_eq!(cache.read().unwrap(), None);
        fs::write(dir.path().join(TEMPORARY), "half").unwrap();
        for records in [
            vec![record(1, 0), record(200, 9)],
            vec![],
            vec![record(3, 1)],
        ] {
            cache.write(&records).unwrap();
            assert_eq!(cache.read().unwrap(), Some(records));
            let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_not_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let cache = KeyCache::new(dir.path());
        cache.write(&[record(1, 0), record(2, 9)]).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        let customer = Uuid::from_u128(9).to_string();
        for damaged in [
            text.replace(&customer, &Uuid::nil().to_string()),
            text.replace(&customer, "?"),
            text.replacen("\"write\"", "\"all\"", 1),
            text.replacen("\"sha256\":\"1f", "\"sha256\":\"+1", 1),
            text.replacen("\"sha256\":\"1f", "\"sha256\":\"", 1),
            text[..text.len() - 1].to_owned(),
        ] {
            assert_ne!(damaged, text);
            fs::write(dir.path().join(FILE), damaged).unwrap();
            assert!(cache.read().is_err());
        }
    }
}
