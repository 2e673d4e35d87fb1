//! Large values of steps that are stored once per run, or once for the runs of a session: what is there twice is one row, and whoever
//! reads a step gets what was sent.

mod crashes;
mod deleting;
mod orders;
mod reading;
mod rights;
mod rows;
mod searching;
mod sent;
mod sharing;
mod sweeping;
mod undoing;
mod writing;
