//! A progress bar on stderr, if that is a terminal.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::count;

const WITH_LENGTH: &str = "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} · {msg} · {eta}";
const WITHOUT: &str = "{spinner} {bytes} {binary_bytes_per_sec} · {msg}";

/// How far the input is read, and how many events are settled.
#[derive(Clone)]
pub(super) struct SendProgress {
    bar: ProgressBar,
    settled: Arc<AtomicU64>,
}

impl SendProgress {
    /// For an input of `len` bytes, if the length is known.
    pub(super) fn new(len: Option<u64>) -> Self {
        let bar = match len {
            _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
            Some(len) => ProgressBar::new(len),
            None => ProgressBar::no_length(),
        };
        let template = if len.is_some() { WITH_LENGTH } else { WITHOUT };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            settled: Arc::default(),
        }
    }

    /// Sets how many bytes of the input were read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Adds settled events.
    pub(super) fn settled(&self, events: usize) {
        let events = events as u64;
        let all = self.settled.fetch_add(events, Ordering::Relaxed) + events;
        self.bar
            .set_message(format!("{} events settled", count(all)));
    }

    /// Removes the bar from the screen.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
