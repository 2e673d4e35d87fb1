//! Compiles the protocol with protox, so that no `protoc` is needed. Also writes its
//! descriptors, which gRPC reflection and the JSON form of events read.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["runtraced/v1/trace_ingest.proto"], ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        // `bytes` fields become `Bytes`, so that ids are not copied from the receive buffer.
        .bytes(".")
        .compile_fds(files)?;
    Ok(())
}
