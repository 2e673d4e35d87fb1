//! Closes abandoned runs and expired approvals.
//!
//! These ends are guesses. This module decides when to make them. The merge statements
//! of the store decide which end of a run wins.

mod sweeper;

pub use sweeper::{SweepCounts, sweep_forever, sweep_once};
