//! runtraced takes live traces of LLM-agent runs over gRPC, writes them to
//! Postgres with COPY, and finalizes each run.

/// The generated protocol, `runtraced.v1`.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    tonic::include_proto!("runtraced.v1");

    /// The encoded `FileDescriptorSet` of the protocol and all it imports.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

pub mod cli;
pub mod client;
pub mod inspect;
pub mod json_mapping;
pub mod store;
