//! The settings the server runs with. They are given on its command line, so
//! a daemon always runs with what its own version says.

use std::{ffi::OsString, path::Path, process::Stdio};

use super::{binaries::Binaries, config::PrivateConfig, identity::Identity};

/// For much writing, with nothing given away: every commit is on disk.
const BUILT_IN: &[(&str, &str)] = &[
    ("cluster_name", "runtraced"),
    ("max_connections", "100"),
    ("shared_buffers", "256MB"),
    ("wal_buffers", "16MB"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("min_wal_size", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    // Short statements only: compiling them costs more than it gives.
    ("jit", "off"),
    ("random_page_cost", "1.1"),
    ("password_encryption", "scram-sha-256"),
    ("unix_socket_permissions", "0700"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] "),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    // A repeated batch is an error to Postgres and normal to us: logged, it
    // would fill the log with payloads. The daemon reports what it cannot settle.
    ("log_min_messages", "log"),
    ("log_min_error_statement", "panic"),
];

/// Where the server is to listen; nothing overrides it.
pub(super) struct Listen<'a> {
    pub port: u16,
    pub sockets: &'a Path,
}

/// All of the server's arguments after `-D <data>`.
pub(super) fn arguments(
    config: &PrivateConfig,
    wal_compression: &str,
    listen: &Listen<'_>,
) -> Vec<OsString> {
    let mut all = Vec::new();
    let mut set = |name: &str, value: OsString| {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(value);
        all.extend([OsString::from("-c"), pair]);
    };
    for (name, value) in BUILT_IN {
        set(name, value.into());
    }
    set("wal_compression", wal_compression.into());
    if wal_compression == "lz4" {
        // The same library. Large values are compressed in less than half of pglz's time.
        set("default_toast_compression", "lz4".into());
    }
    for (name, value) in &config.settings {
        set(name, value.into());
    }
    set("listen_addresses", "127.0.0.1".into());
    set("port", listen.port.to_string().into());
    set("unix_socket_directories", quoted(listen.sockets));
    all
}

/// The setting is a list, and a path may hold commas and spaces.
fn quoted(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        None => path.into(),
    }
}

/// lz4 where this Postgres was built with it, which only it can tell.
pub(super) fn wal_compression(
    binaries: &Binaries,
    identity: &Identity,
    data: &Path,
) -> &'static str {
    let known = identity
        .command(&binaries.program("postgres"), data)
        .args(["-C", "wal_compression", "-c", "wal_compression=lz4", "-D"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if known { "lz4" } else { "on" }
}
