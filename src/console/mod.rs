//! What the commands and the benchmark have in common: printing, and a daemon of
//! their own as a child process.

pub(crate) mod child;
pub mod output;
