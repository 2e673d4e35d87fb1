//! One store on several servers.

mod writing;
