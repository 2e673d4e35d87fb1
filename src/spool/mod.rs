//! The spool: a bounded log on local disk for events that Postgres cannot take now.
//!
//! The log is a folder of segment files. Each segment has a header, then frames with a
//! length, a sequence number and checksums. Synced frames survive any crash. A torn tail
//! is cut off. Damage in the middle of a segment costs the frames that it hits and no
//! others. A segment is deleted as a whole once all of its frames are acknowledged.
//!
//! To this module a payload is opaque bytes: it knows no events, no protobuf and no SQL.
//! No other module touches the spool's files.

mod directories;
mod disk;
mod error;
mod folder;
mod frame;
mod log;
mod look;
mod owner;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
mod tests;

pub use disk::{DirectoryDisk, Disk, DiskFile};
pub use error::SpoolError;
pub use folder::{SpoolFile, SpoolFolder, folders_in, list};
pub use frame::{Frame, FramePlace};
pub use log::{PendingFrame, SegmentLog, SpoolLimits, SpoolUsage};
pub use look::{SpoolFolderState, look_at};
pub use segment::{FORMAT_VERSION, SegmentHeader};
pub use shared::Spool;
