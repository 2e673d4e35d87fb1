//! The flags of masking, and the file of rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::values::FlagReader;
use crate::mask::MaskRules;

/// The built-in rules alone.
const DEFAULT_RULES: &str = "default";
/// The daemon's own key, in its data folder.
const KEY_FILE: &str = "mask.key";
/// A larger file holds no rules.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Flags that say what is masked.
#[derive(Args, Clone, Debug)]
pub struct MaskArgs {
    /// Mask secrets before anything stores them, by the built-in rules and those of a file
    /// (TOML); `default`: by the built-in rules alone. Without this flag nothing is masked.
    #[arg(long, env = "RUNTRACED_MASK", value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// File with the key of masks, at least 32 bytes. Daemons of one database need the same
    /// one. Without it, `mask.key` in --data-dir, made at the first start.
    #[arg(long, env = "RUNTRACED_MASK_KEY_FILE", value_name = "FILE")]
    pub mask_key_file: Option<PathBuf>,
}

/// How to mask.
#[derive(Clone, Debug)]
pub struct MaskSettings {
    /// What to mask.
    pub rules: Arc<MaskRules>,
    /// Where the key is.
    pub key: MaskKeyFile,
}

/// The file with the key of masks.
#[derive(Clone, Debug)]
pub enum MaskKeyFile {
    /// Somebody made it.
    Given(PathBuf),
    /// The daemon makes it if it is missing.
    Own(PathBuf),
}

impl MaskKeyFile {
    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Own(path) => path,
        }
    }
}

impl MaskArgs {
    /// How to mask; `None`: nothing is masked.
    pub(super) fn settings(self, flags: &mut FlagReader, data_dir: &Path) -> Option<MaskSettings> {
        // Scripts set a variable to nothing to say that it is not set.
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let given = self.mask_key_file.filter(is_set);
        let Some(file) = self.mask.filter(is_set) else {
            if given.is_some() {
                flags.fault("--mask-key-file needs --mask: without it nothing is masked");
            }
            return None;
        };
        let rules = match file.to_str() {
            Some(DEFAULT_RULES) => MaskRules::built_in().map_err(|error| error.to_string()),
            _ => read(&file),
        };
        match rules {
            Ok(rules) => Some(MaskSettings {
                rules: Arc::new(rules),
                key: given.map_or_else(
                    || MaskKeyFile::Own(data_dir.join(KEY_FILE)),
                    MaskKeyFile::Given,
                ),
            }),
            Err(fault) => {
                flags.fault(format!("--mask {}: {fault}", file.display()));
                None
            }
        }
    }
}

fn read(file: &Path) -> Result<MaskRules, String> {
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err("larger than 1MiB, no file of rules is".to_owned());
    }
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    MaskRules::with_file(&text).map_err(|error| error.to_string())
}
