//! The spans in which a daemon tells of its own work, with a second daemon as their collector.

mod loops;
mod tail;
mod told;
mod tree;
mod work;
