//! README.md, CONTRIBUTING.md, docs/ and the examples' pages are true: flags,
//! variables, commands, links, examples, SQL, columns. Each failure names the
//! page and what is wrong in it.

mod commands;
mod deleting;
mod examples;
mod links;
pub mod markdown;
mod pages;
mod reader;
mod running;
mod scaling;
mod schema;
