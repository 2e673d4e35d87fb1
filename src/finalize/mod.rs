//! Closes abandoned runs and expired approvals, and settles runs that are too large for writers.
//!
//! Ends that it makes are guesses. This module decides when to make them. The merge
//! statements of the store decide which end of a run wins.

mod large_runs;
mod sweeper;

pub use sweeper::{SweepCounts, Sweeper, sweep_forever};
