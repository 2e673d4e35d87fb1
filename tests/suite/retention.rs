//! Old traces are deleted, and what is about somebody on demand. What goes on stays, and late
//! events of what is gone are ignored and counted.

mod apart;
mod at_once;
mod below;
mod claimed;
mod decided;
mod erased;
mod held;
mod kept;
mod late;
mod mentioned;
mod named;
mod others;
mod pruned;
mod rights;
mod rows;
mod sessions;
mod stubborn;
mod tidied;
mod unreached;
