//! Closes abandoned runs and expired approvals, settles runs that are too large for writers, and sums runs up.
//!
//! Where runs are in slots, it works in one place after another.
//!
//! Ends that it makes are guesses. This module decides when to make them. The merge
//! statements of the store decide which end of a run wins.

mod large_runs;
mod run_sums;
mod sweeper;

pub use run_sums::sum_up_forever;
pub use sweeper::{SweepCounts, SweepSettings, Sweeper, sweep_forever};
