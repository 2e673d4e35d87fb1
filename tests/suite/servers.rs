//! One store on several servers.

mod reading;
mod writing;
