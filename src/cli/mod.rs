//! The commands. Each has a module; this one only gathers them.

pub mod output;
pub mod send;
