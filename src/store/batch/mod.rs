//! Writes one batch in one transaction: sessions, runs, rows and approvals, then the
//! consequences for runs that have ended.
//!
//! Every transaction takes its locks in one order: sessions by id, then runs by id, then
//! approvals by id. The lock of a run protects all rows that belong to the run.

mod aliases;
mod bridged;
mod call_tree;
mod contents;
mod contested;
mod early_sessions;
mod error;
mod gone;
mod large_runs;
mod merge;
mod months;
mod parts;
pub mod postponed;
mod roots;
mod run_totals;
mod runs;
mod scopes;
mod slots;
mod state;
mod tenancy;
mod views;
mod write;

pub use self::early_sessions::EarlySessions;
pub use self::error::BatchError;
pub use self::gone::{GoneIds, write_unless_gone};
pub use self::large_runs::{RunSizes, few_rows, postpone};
pub use self::months::write_by_month;
pub use self::roots::settle_bridged_runs;
pub use self::run_totals::{RunTotals, RunTotalsCache};
pub use self::slots::write_by_slot;
pub use self::views::settle_closed_runs;
