//! Benchmarks of the hot parts of an event's path, each alone, so that a regression can be
//! located. Run `cargo bench --bench parts`, or one part: `cargo bench --bench parts -- json`.
//!
//! `runtraced bench` measures the whole path.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod decode;
mod encode;
mod json;
mod spans;
mod write;

use criterion::{criterion_group, criterion_main};

criterion_group!(pure, decode::decode, json::check, encode::rows, spans::own);
criterion_group!(database, write::batches);
criterion_main!(pure, database);
