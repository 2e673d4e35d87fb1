//! The keys as they were last known, in a file: so that a daemon which is started
//! while the database is away lets in whom it let in before.
//!
//! It holds hashes and no keys, and lies beside the spool, which has as much to
//! lose. What is in it stands only until the database is reached.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::{NonNilUuid, Uuid};

use super::limits::Rates;
use super::table::KeyRecord;

/// Its name in the folder of the spool.
const FILE: &str = "keys.json";
const TEMPORARY: &str = "keys.json.new";

/// The file.
#[derive(Clone, Debug)]
pub struct KeptKeys {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    id: Uuid,
    sha256: String,
    customer: Option<Uuid>,
    max_events_per_second: Option<u64>,
    max_bytes_per_second: Option<u64>,
}

impl KeptKeys {
    /// That of a folder which is the daemon's own.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// What was kept; `None` if nothing was.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of ours.
    pub fn read(&self) -> io::Result<Option<Vec<KeyRecord>>> {
        let text = match fs::read(self.folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let kept: Vec<Kept> = serde_json::from_slice(&text)?;
        let records: Option<Vec<KeyRecord>> = kept.into_iter().map(Kept::record).collect();
        // All or none: a key that lost its customer would be one for everybody.
        records
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a list of keys"))
    }

    /// Keeps these instead, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, records: &[KeyRecord]) -> io::Result<()> {
        let kept: Vec<Kept> = records.iter().map(Kept::of).collect();
        let temporary = self.folder.join(TEMPORARY);
        // An old one may have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Kept {
    fn of(record: &KeyRecord) -> Self {
        let hex = record.sha256.iter().map(|byte| format!("{byte:02x}"));
        Self {
            id: record.id,
            sha256: hex.collect(),
            customer: record.customer.map(NonNilUuid::get),
            max_events_per_second: record.rates.max_events_per_second,
            max_bytes_per_second: record.rates.max_bytes_per_second,
        }
    }

    fn record(self) -> Option<KeyRecord> {
        let mut sha256 = [0; 32];
        let is_hex = self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || self.sha256.len() != 2 * sha256.len() {
            return None;
        }
        for (place, byte) in sha256.iter_mut().enumerate() {
            let digits = self.sha256.get(2 * place..2 * place + 2)?;
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
            rates: Rates {
                max_events_per_second: Some(7),
                max_bytes_per_second: None,
            },
        }
    }

    #[test]
    fn what_was_kept_is_read_again_and_the_last_stands() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptKeys::new(dir.path());
        assert_eq!(kept.read().unwrap(), None);
        fs::write(dir.path().join(TEMPORARY), "half").unwrap();
        for records in [
            vec![record(1, 0), record(200, 9)],
            vec![],
            vec![record(3, 1)],
        ] {
            kept.write(&records).unwrap();
            assert_eq!(kept.read().unwrap(), Some(records));
            let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_damaged_is_not_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptKeys::new(dir.path());
        kept.write(&[record(1, 0), record(2, 9)]).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        let customer = Uuid::from_u128(9).to_string();
        for damaged in [
            text.replace(&customer, &Uuid::nil().to_string()),
            text.replace(&customer, "?"),
            text.replacen("\"sha256\":\"1f", "\"sha256\":\"+1", 1),
            text.replacen("\"sha256\":\"1f", "\"sha256\":\"", 1),
            text[..text.len() - 1].to_owned(),
        ] {
            assert_ne!(damaged, text);
            fs::write(dir.path().join(FILE), damaged).unwrap();
            assert!(kept.read().is_err());
        }
    }
}
