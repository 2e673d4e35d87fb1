//! One store on several servers.

mod commands;
