//! Sorts the events of a batch by table. No IO happens here.
//!
//! A merging statement takes each id at most once. What a batch says about one id more
//! than once is reduced here, by the same order that the statements use (`order.rs`).

mod approvals;
mod bridged;
mod builder;
mod contents;
mod observed;
mod order;
mod rows;
mod runs;
mod service;
mod sessions;
mod steps;
mod types;

pub use self::contents::StepValue;
pub use self::runs::RunPatches;
pub use self::types::{
    AliasPatch, ApprovalPatch, Plan, PlannedEvent, PlannedRows, RunPatch, Rung, SessionField,
    SessionPatch, SessionRef, StepRow,
};

#[cfg(test)]
mod tests;
