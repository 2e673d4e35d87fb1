//! How much hardware a rate of events takes, from measured costs.
//!
//! It is arithmetic: nothing is asked, and nothing is measured here.

mod costs;
mod model;
mod spread;

pub use costs::{MeasuredCosts, UnreadCosts};
pub use model::{CapacityPlan, EventRate, Hardware, MOST_SERVERS, TraceVolume};
pub use spread::{
    CostPoint, MOST_SLOTS, SlotCosts, SpreadLimit, SpreadRate, SpreadSettings, WorkCost, rates,
};
