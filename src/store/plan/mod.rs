//! Sorts the events of a batch by table. No IO happens here.
//!
//! A merging statement takes each id at most once. If a batch names one id several
//! times, the plan puts the repetitions into passes, which run one after another.

mod bridged;
mod builder;
mod observed;
mod types;

pub use self::types::{
    ApprovalPatch, Plan, PlannedEvent, PlannedRows, RunPatch, Rung, SessionRef, StepRow,
};

#[cfg(test)]
mod tests;
