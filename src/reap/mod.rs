//! Deletes traces: old ones in the background (`--retain`) and on demand (`runtraced prune`), and
//! everything about a customer, a session or a user (`runtraced erase`).
//!
//! All of them delete runs by the same statements (`delete_runs.sql`), a bounded number of rows in
//! each transaction. A run that was deleted leaves a tombstone, so that late events of it are
//! ignored.
//!
//! Where runs are in slots, each transaction that locks or deletes runs is in one place
//! ([`crate::store::TracePlace`]). Whatever asks for all rows, as that of a session, names `public`
//! or is in no place.

mod counts;
mod customer;
mod delete;
mod erase;
mod everywhere;
mod found;
mod gone;
mod held;
mod letter;
mod letters;
mod mentions;
mod months;
mod pace;
mod prune;
mod reaper;
mod scopes;
mod sessions;
mod subject;
mod sums;
mod tidy;
mod whose;

pub use counts::{ReapCounts, RowCounts};
pub use customer::{Customer, NamedCustomer, named_customer, named_customer_anywhere};
pub use erase::{Erased, erase};
pub use everywhere::{EraseFailure, erase_everywhere};
pub use held::{ForeignKey, HeldRows};
pub use pace::ReapPace;
pub use prune::{PruneFilter, PrunedRows, prune};
pub use reaper::{ReapSettings, reap_forever};
pub use subject::Subject;

/// Whether a statement took longer than it may.
fn is_canceled(error: &sqlx::Error) -> bool {
    crate::store::sqlstate(error) == "57014"
}

/// Whether an error says that the role may not delete.
#[must_use]
pub fn is_forbidden(error: &sqlx::Error) -> bool {
    crate::store::sqlstate(error) == "42501"
}
