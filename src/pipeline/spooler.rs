//! A shard's way into the spool.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::gate::Gate;
use crate::event::Event;
use crate::spool::Spool;

/// A frame is closed after so many events or bytes, so that its replay is a
/// short transaction that live traffic does not feel.
const FRAME_EVENTS: usize = 1_000;
const FRAME_BYTES: usize = 1 << 20;

/// The spool and how events get in and out of it.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The spool.
    pub spool: Arc<Spool>,
    /// The wire form of events.
    pub encode: fn(&[&Event]) -> Vec<u8>,
    /// The way back; `None` for what is no such form, or has events in it that
    /// this version does not take.
    pub decode: fn(&[u8]) -> Option<Vec<Event>>,
    /// An event that has waited so long for the database is spooled.
    pub after: Duration,
}

/// Spools what one shard cannot write.
#[derive(Debug)]
pub(super) struct Spooler {
    pub config: SpoolConfig,
    pub gate: Arc<Gate>,
    /// The shard's events that the spool holds or has held.
    pub spooled: Arc<AtomicU64>,
    /// Ends when the shard does; carries nothing.
    pub _running: crossbeam_channel::Sender<()>,
}

impl Spooler {
    /// Makes events durable in the spool, and returns how many of them are,
    /// from the first on.
    pub fn store(&self, events: &[&Event]) -> usize {
        let parts = frames(events);
        let frames = parts.iter().map(|part| {
            let events = u32::try_from(part.len()).unwrap_or(u32::MAX);
            ((self.config.encode)(part), events)
        });
        let before = self.config.spool.refusing();
        let (stored, result) = self.config.spool.store(frames, &self.spooled);
        match result {
            // WARN: nothing is lost, but clients are held back from now on.
            Err(error) if !before => {
                tracing::warn!(%error, "events can be made durable nowhere; clients wait");
            }
            Ok(()) if before => tracing::info!("the spool takes events again"),
            _ => {}
        }
        parts[..stored].iter().map(|part| part.len()).sum()
    }
}

/// Cuts events into frames.
fn frames<'e, 'b>(events: &'b [&'e Event]) -> Vec<&'b [&'e Event]> {
    let mut frames = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        bytes += event.weight_bytes();
        if index + 1 - start >= FRAME_EVENTS || bytes >= FRAME_BYTES {
            frames.push(&events[start..=index]);
            (start, bytes) = (index + 1, 0);
        }
    }
    if start < events.len() {
        frames.push(&events[start..]);
    }
    frames
}
