//! A bar on stderr, where that is a terminal.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::output::thousands;

const WITH_LENGTH: &str = "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} · {msg} · {eta}";
const WITHOUT: &str = "{spinner} {bytes} {binary_bytes_per_sec} · {msg}";

/// How far the command is.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    settled: Arc<AtomicU64>,
}

impl Progress {
    /// For an input of `len` bytes, if that is known.
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

    /// So many bytes of the input were read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// So many more events are settled.
    pub(super) fn settled(&self, events: usize) {
        let events = events as u64;
        let all = self.settled.fetch_add(events, Ordering::Relaxed) + events;
        let all = i64::try_from(all).unwrap_or(i64::MAX);
        self.bar
            .set_message(format!("{} events settled", thousands(all)));
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
