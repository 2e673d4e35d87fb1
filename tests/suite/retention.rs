//! Old traces are deleted, and what is about somebody on demand. What goes on stays, and late
//! events of what is gone are ignored and counted.

mod apart;
mod at_once;
mod below;
mod decided;
mod erased;
mod kept;
mod late;
mod others;
mod pruned;
mod rights;
mod rows;
mod sessions;
mod stubborn;
mod tidied;
