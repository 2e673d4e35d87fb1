//! Whether secrets are masked, and with which key.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;

use super::finding::{Finding, failure, fine, warning};
use crate::config::{Config, MaskKeyFile, MaskSettings};

const CHECK: &str = "masking";
/// Rights of others than the owner of a file.
const OPEN_TO_OTHERS: u32 = 0o077;

pub(super) fn examine(config: &Config) -> Finding {
    match &config.mask {
        None => fine(CHECK, "off: texts are stored as they come (--mask)"),
        Some(settings) => key(settings),
    }
}

fn key(settings: &MaskSettings) -> Finding {
    let (patterns, path) = (settings.rules.pattern_count(), settings.key.path());
    let file = path.display();
    match (fs::metadata(path), &settings.key) {
        (Err(error), MaskKeyFile::Own(_)) if error.kind() == ErrorKind::NotFound => fine(
            CHECK,
            format!("on, with {patterns} patterns; the daemon will make {file}"),
        ),
        (Err(error), _) => failure(
            CHECK,
            format!("the key {file} cannot be read: {error}"),
            "correct --mask-key-file, or make the file readable for the daemon's user",
        ),
        (Ok(found), _) if found.permissions().mode() & OPEN_TO_OTHERS != 0 => warning(
            CHECK,
            format!("other users can use the key {file}, and so try which secret has which mask"),
            format!("chmod 600 {file}"),
        ),
        (Ok(_), _) => fine(
            CHECK,
            format!("on, with {patterns} patterns and the key {file}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::doctor::Severity::{Failure, Ok as Fine, Warning};
    use crate::mask::MaskRules;

    #[test]
    fn keys_that_cannot_be_used_or_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let with = |key| MaskSettings {
            rules: Arc::new(MaskRules::built_in().unwrap()),
            key,
        };
        let (own, given) = (
            MaskKeyFile::Own(path.clone()),
            MaskKeyFile::Given(path.clone()),
        );
        assert_eq!(key(&with(own.clone())).severity, Fine);
        assert_eq!(key(&with(given)).severity, Failure);
        fs::write(&path, "k".repeat(32)).unwrap();
        for (mode, severity) in [(0o600, Fine), (0o640, Warning), (0o604, Warning)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(key(&with(own.clone())).severity, severity, "{mode:o}");
        }
    }
}
