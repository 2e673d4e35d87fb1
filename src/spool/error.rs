//! Errors of the spool.

use std::io;
use std::path::PathBuf;

use super::segment::FORMAT_VERSION;

/// Why the spool cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The frame does not fit into the byte budget.
    #[error("the spool is full")]
    Full,
    /// The spool holds events of another database.
    #[error("the spool belongs to another database")]
    OtherDatabase,
    /// The disk failed. Payloads that were not reported as stored are not in the spool.
    #[error("the disk of the spool failed: {0}")]
    Io(#[from] io::Error),
    /// The folder cannot be used.
    #[error("cannot use the spool folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another daemon holds the folder's lock.
    #[error(
        "the spool folder {} is in use by another daemon; choose a different --spool-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// A newer version of runtraced wrote a file.
    #[error(
        "{file} has spool format {version}, but this version of runtraced reads formats up to \
         {FORMAT_VERSION}; start the version that wrote the file, or a later one"
    )]
    NewerVersion {
        /// The file.
        file: String,
        /// The file's format version.
        version: u32,
    },
}
