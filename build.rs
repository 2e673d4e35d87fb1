//! Compiles the protocol with protox, so that no `protoc` is needed. Also writes its
//! descriptors, which gRPC reflection and the JSON mapping read. Lists the dialect files, which
//! the daemon embeds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost::Message as _;

/// The folder of the dialect files.
const DIALECTS: &str = "src/ingest/otlp/dialects";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let files = protox::compile(["runtraced/v1/trace_ingest.proto"], ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        // `bytes` fields become `Bytes`, so that ids are not copied from the receive buffer.
        .bytes(".")
        .compile_fds(files)?;
    println!("cargo:rerun-if-changed={DIALECTS}");
    fs::write(out.join("dialects.rs"), dialect_list()?)?;
    Ok(())
}

/// A Rust constant with the name and text of each dialect file.
fn dialect_list() -> Result<String, Box<dyn Error>> {
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest")?).join(DIALECTS);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut list = String::from("pub const BUILT_IN_FILES: &[(&str, &str)] = &[\n");
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.display().to_string();
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push_str("];\n");
    Ok(list)
}
