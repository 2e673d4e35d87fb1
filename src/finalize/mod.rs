//! Ends what does not end by itself: abandoned runs and expired approvals.
//!
//! The rules of how an end wins over another are in the store's merging
//! statements; here is only the guess, and when it is made.

mod sweeper;

pub use sweeper::{SweepCounts, sweep_forever, sweep_once};
