//! The spans in which a daemon tells of its own work, with a second daemon as their collector, or
//! with one that is not ours.

mod exemplars;
mod foreign;
mod loops;
mod tail;
mod told;
mod traced;
mod tree;
mod trust;
mod work;
