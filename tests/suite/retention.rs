//! Old traces are deleted, and what is about somebody on demand. What goes on stays, and late
//! events of what is gone are ignored and counted.

mod apart;
mod at_once;
mod below;
mod claimed;
mod decided;
mod erased;
mod held;
pub mod kept;
mod late;
mod mentioned;
mod named;
mod others;
mod pruned;
mod rights;
pub mod rows;
mod sessions;
mod stubborn;
mod tidied;
mod unreached;
