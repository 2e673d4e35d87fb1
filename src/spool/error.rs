//! What can go wrong with the spool.

use std::io;
use std::path::PathBuf;

use super::segment::FORMAT_VERSION;

/// Why the spool cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The byte budget has no room for the frame.
    #[error("the spool is full")]
    Full,
    /// The disk failed; whatever was not yet acknowledged is not in the spool.
    #[error("the spool's disk failed: {0}")]
    Io(#[from] io::Error),
    /// The folder cannot be used at all.
    #[error("the spool folder {} cannot be used: {source}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon holds the folder.
    #[error("the spool folder {} is in use by another daemon; give this one another --spool-dir", .0.display())]
    InUse(PathBuf),
    /// A newer version of the program wrote a file.
    #[error(
        "{file} has the spool format {version}, and this program reads up to {FORMAT_VERSION}; \
         start the version that wrote it, or a later one"
    )]
    NewerVersion {
        /// Which file.
        file: String,
        /// Its format.
        version: u32,
    },
}
