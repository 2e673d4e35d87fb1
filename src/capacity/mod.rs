//! How much hardware a rate of events takes, from measured costs.
//!
//! It is arithmetic: nothing is asked, and nothing is measured here.

mod costs;
mod model;

pub use costs::{MeasuredCosts, UnreadCosts};
pub use model::{CapacityPlan, EventRate, Hardware, TraceVolume};
