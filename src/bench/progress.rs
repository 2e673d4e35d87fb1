//! What is being measured, on stderr, where that is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const STAGE: &str = "{spinner} {msg}";
const DELIVERY: &str = "{bar:30} {human_pos}/{human_len} events · {per_sec} · {msg}";

/// Shows what is going on.
#[derive(Clone, Debug)]
pub struct Progress {
    shown: bool,
    stage: ProgressBar,
}

impl Progress {
    /// On a terminal only.
    #[must_use]
    pub fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        let stage = if shown {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template(STAGE) {
            stage.set_style(style);
        }
        stage.enable_steady_tick(Duration::from_millis(200));
        Self { shown, stage }
    }

    /// What is done now.
    pub fn stage(&self, what: &str) {
        self.stage.set_message(what.to_owned());
    }

    /// A bar for a delivery of so many events.
    #[must_use]
    pub fn delivery(&self, what: &str, events: u64) -> ProgressBar {
        self.stage(what);
        if !self.shown {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(events);
        if let Ok(style) = ProgressStyle::with_template(DELIVERY) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// Takes all of it off the screen.
    pub fn clear(&self) {
        self.stage.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
