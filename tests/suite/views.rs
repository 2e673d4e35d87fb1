//! The views that engineers build on, and the waterfall.

mod customers;
mod runs;
mod scale;
mod scores;
mod summary;
mod timeline;
mod waterfall;
