//! Progress of the benchmark, on stderr if that is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const STAGE_TEMPLATE: &str = "{spinner} {msg}";
const DELIVERY_TEMPLATE: &str = "{bar:30} {human_pos}/{human_len} events · {per_sec} · {msg}";

const SPINNER_TICK: Duration = Duration::from_millis(200);

/// Shows the current stage and the progress of a delivery.
#[derive(Clone, Debug)]
pub struct BenchProgress {
    shown: bool,
    stage: ProgressBar,
}

impl BenchProgress {
    /// Shows progress if stderr is a terminal, and nothing otherwise.
    #[must_use]
    pub fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        let stage = if shown {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template(STAGE_TEMPLATE) {
            stage.set_style(style);
        }
        stage.enable_steady_tick(SPINNER_TICK);
        Self { shown, stage }
    }

    /// Names the current stage.
    pub fn stage(&self, what: &str) {
        self.stage.set_message(what.to_owned());
    }

    /// Shows a progress bar for a delivery of `events` events.
    #[must_use]
    pub fn delivery(&self, what: &str, events: u64) -> ProgressBar {
        self.stage(what);
        if !self.shown {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(events);
        if let Ok(style) = ProgressStyle::with_template(DELIVERY_TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// Removes all progress from the screen.
    pub fn clear(&self) {
        self.stage.finish_and_clear();
    }
}

impl Default for BenchProgress {
    fn default() -> Self {
        Self::new()
    }
}
