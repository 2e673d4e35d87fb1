//! The hot parts of the path of an event, each alone, so that a regression has
//! an address. `cargo bench --bench parts`, or `cargo bench --bench parts -- json`.
//!
//! What the whole reaches is another question: `runtraced bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod decode;
mod encode;
mod json;
mod write;

use criterion::{criterion_group, criterion_main};

criterion_group!(pure, decode::decode, json::check, encode::rows);
criterion_group!(database, write::batches);
criterion_main!(pure, database);
