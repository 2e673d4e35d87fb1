//! What README.md and docs/ say is so: flags, commands, links, examples, SQL,
//! columns. Each test names the page and what is wrong in it.

mod commands;
mod examples;
mod links;
pub mod markdown;
mod schema;
