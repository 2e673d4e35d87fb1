//! runtraced receives live traces of LLM-agent runs over gRPC, writes them to
//! Postgres with COPY, and finalizes each run.
//!
//! The modules are listed in the order in which an event passes through them.
//! The rest follows: the daemon and its commands, then clients and tools.

/// The generated protocol, `runtraced.v1`.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    tonic::include_proto!("runtraced.v1");

    /// The encoded `FileDescriptorSet` of the protocol and of everything that it imports.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

pub mod listen;

pub mod auth;
pub mod ingest;

pub mod event;

pub mod pipeline;

pub mod store;

pub mod spool;

pub mod finalize;

pub mod telemetry;

pub mod app;
pub mod bench;
pub mod cli;
pub mod config;
pub mod doctor;

pub mod client;
pub mod console;
pub mod json_mapping;
pub mod postgres;
pub mod prices;
pub mod query;
pub mod web;
