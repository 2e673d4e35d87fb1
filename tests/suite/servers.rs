//! One store on several servers.

mod commands;
mod reading;
mod writing;
