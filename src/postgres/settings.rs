//! The server's settings. They are passed on its command line, so the settings always
//! belong to the version of the daemon that starts the server.

use std::{ffi::OsString, path::Path, process::Stdio};

use super::{binaries::Binaries, config::PrivateConfig, server_user::ServerUser};

/// The built-in settings. They suit heavy writing, and every commit is durable.
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
    // All statements are short: compiling them costs more time than it saves.
    ("jit", "off"),
    ("random_page_cost", "1.1"),
    ("password_encryption", "scram-sha-256"),
    ("unix_socket_permissions", "0700"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] "),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    // A repeated batch is an error for Postgres but normal for runtraced. Logging such
    // errors would fill the log with payloads. The daemon reports what it cannot store.
    ("log_min_messages", "log"),
    ("log_min_error_statement", "panic"),
];

/// Where the server listens. No setting of the caller overrides it.
pub(super) struct Listen<'a> {
    pub port: u16,
    pub sockets: &'a Path,
}

/// The server's arguments after `-D <data>`.
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
        // The same library compresses large values in less than half the time of pglz.
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

/// Quotes a path: the setting is a list, and a path may contain commas and spaces.
fn quoted(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        None => path.into(),
    }
}

/// `lz4` if this Postgres was built with it, else `on`. The server program must be asked.
pub(super) fn wal_compression(binaries: &Binaries, user: &ServerUser, data: &Path) -> &'static str {
    let has_lz4 = user
        .command(&binaries.program("postgres"), data)
        .args(["-C", "wal_compression", "-c", "wal_compression=lz4", "-D"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_lz4 { "lz4" } else { "on" }
}
