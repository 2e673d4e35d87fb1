//! Writes events of a shard to the spool.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::gate::Gate;
use crate::event::Event;
use crate::histograms::{Histograms, WritePhase};
use crate::spool::Spool;

/// Events per frame. While clients wait, a transaction replays no more than this, so that
/// it does not delay them.
pub(super) const FRAME_EVENTS: usize = 1_000;
/// Bytes of events per frame, for the same reason.
pub(super) const FRAME_BYTES: usize = 1 << 20;

/// The spool, and the format of events in it.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The spool.
    pub spool: Arc<Spool>,
    /// Encodes events as the payload of a frame.
    pub encode: fn(&[&Event]) -> Vec<u8>,
    /// Decodes the payload of a frame. `None`: this version cannot read it, or some of
    /// its events.
    pub decode: fn(&[u8]) -> Option<Vec<Event>>,
    /// How long an event may wait for the database before it is spooled.
    pub after: Duration,
}

/// Spools the events that one shard cannot write.
#[derive(Debug)]
pub(super) struct Spooler {
    pub config: SpoolConfig,
    pub gate: Arc<Gate>,
    /// Counts the events that the shard has spooled.
    pub spooled: Arc<AtomicU64>,
    pub histograms: Arc<Histograms>,
    /// Dropped when the shard ends; nothing is sent.
    pub _running: crossbeam_channel::Sender<()>,
}

impl Spooler {
    /// Makes events durable in the spool. Returns how many are, counted from the first.
    pub fn store(&self, events: &[&Event]) -> usize {
        let parts = frames(events);
        let frames = parts.iter().map(|part| {
            let events = u32::try_from(part.len()).unwrap_or(u32::MAX);
            ((self.config.encode)(part), events)
        });
        let before = self.config.spool.refusing();
        let begin = Instant::now();
        let (stored, result) = self.config.spool.store(frames, &self.spooled);
        self.histograms.phase(WritePhase::Spool, begin.elapsed());
        match result {
            // WARN: nothing is lost, but clients wait.
            Err(error) if !before => {
                tracing::warn!(%error, "neither Postgres nor the spool accepts events; clients wait");
            }
            Ok(()) if before => tracing::info!("the spool accepts events again"),
            _ => {}
        }
        parts[..stored].iter().map(|part| part.len()).sum()
    }
}

/// Splits events into frames.
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
