//! Large values of steps that are stored once per run: what is there twice is one row, and whoever
//! reads a step gets what was sent.

mod deleting;
mod reading;
mod rights;
mod rows;
mod searching;
mod undoing;
