//! Describes the machine, the command line and the time of a measurement.

use std::fs;

use super::figures::Machine;

const KIB_PER_GIB: f64 = 1_048_576.0;

/// Describes this machine. A value that `/proc` does not give is empty or 0.
#[must_use]
pub fn describe() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
        value.unwrap_or_default()
    };
    let total_memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib: f64 = total_memory
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    let load = read("/proc/loadavg");
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_gib: kib / KIB_PER_GIB,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load_before: load
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0.0),
    }
}

/// The command line, without the program's folder and without the database URL, which can
/// hold a password.
#[must_use]
pub fn command_line() -> String {
    let mut words: Vec<_> = std::env::args_os().collect();
    if let Some(program) = words.first_mut() {
        *program = "runtraced".into();
    }
    let mut hide_next = false;
    for word in &mut words {
        let text = word.to_string_lossy().into_owned();
        if hide_next || text.starts_with("--database-url=") {
            *word = if hide_next {
                "URL"
            } else {
                "--database-url=URL"
            }
            .into();
        }
        hide_next = text == "--database-url";
    }
    super::shell_command(words)
}

/// The current time, RFC 3339.
#[must_use]
pub fn now() -> String {
    let now = std::time::SystemTime::now();
    prost_types::Timestamp::from(now).to_string()
}
