//! The key of masks: read from a file, or made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;

use super::error::AppError;
use crate::config::{MaskKeyFile, MaskSettings};
use crate::mask::Masker;

/// A shorter key can be guessed.
const MIN_KEY_BYTES: usize = 32;

/// The masker with its key.
pub(super) fn masker(settings: &MaskSettings) -> Result<Arc<Masker>, AppError> {
    let path = settings.key.path();
    let failed = |reason: String| AppError::MaskKey {
        file: path.to_owned(),
        reason,
    };
    let key = match &settings.key {
        MaskKeyFile::Given(path) => fs::read(path),
        MaskKeyFile::Own(path) => read_or_make(path),
    };
    let key = key.map_err(|error| failed(error.to_string()))?;
    let key = key.trim_ascii();
    if key.len() < MIN_KEY_BYTES {
        let reason = format!("holds {} bytes, and a key has at least 32", key.len());
        return Err(failed(reason));
    }
    let rules = (*settings.rules).clone();
    let masker = Masker::new(rules, key).map_err(|error| AppError::MaskRules {
        reason: error.to_string(),
    })?;
    Ok(Arc::new(masker))
}

/// Reads the key. If there is none, makes one. Of two daemons that start at once, one makes it.
fn read_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let made = write_key(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs::remove_file(&draft)?;
    made?;
    fs::File::open(folder)?.sync_all()?;
    fs::read(path)
}

fn write_key(path: &Path) -> io::Result<()> {
    let mut key = [0; MIN_KEY_BYTES];
    SysRng
        .try_fill_bytes(&mut key)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_user_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/mask.key");
        let made = read_or_make(&path).unwrap();
        assert!(made.trim_ascii().len() >= MIN_KEY_BYTES);
        assert_eq!(read_or_make(&path).unwrap(), made);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_given_key_must_be_there_and_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let settings = MaskSettings {
            rules: Arc::new(crate::mask::MaskRules::built_in().unwrap()),
            key: MaskKeyFile::Given(path.clone()),
        };
        assert!(masker(&settings).is_err());
        fs::write(&path, "short\n").unwrap();
        let error = masker(&settings).unwrap_err().to_string();
        assert!(error.contains("holds 5 bytes"), "{error}");
        fs::write(&path, "k".repeat(32)).unwrap();
        assert!(masker(&settings).is_ok());
    }
}
