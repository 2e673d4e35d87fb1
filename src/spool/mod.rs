//! A bounded log of frames on local disk, for events that Postgres cannot take now.
//!
//! A folder of segment files: a header, then frames with a length, a sequence
//! and checksums. What was synced survives any crash; a torn tail is cut off,
//! damage in the middle costs the frames it hits and no others. A segment is
//! deleted as a whole once all of its frames are acknowledged.
//!
//! Payloads are opaque here: no events, no protobuf, no SQL. The only module
//! that touches the spool's files.

mod disk;
mod error;
mod folder;
mod frame;
mod log;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
mod tests;

pub use disk::{Disk, DiskFile, Folder};
pub use error::SpoolError;
pub use folder::{SpoolFile, SpoolFolder, list};
pub use frame::Frame;
pub use log::{Pending, SegmentLog, SpoolLimits, Usage};
pub use segment::{FORMAT_VERSION, SegmentHeader};
pub use shared::Spool;
