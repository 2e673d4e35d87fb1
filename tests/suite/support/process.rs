//! The program as a command, and what a process uses of memory and CPU (Linux).

use std::process::Command;

/// Runs the program; exit code and what it said.
pub async fn runtraced(args: &[&str], database: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.args(args).env("DATABASE_URL", database);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// Resident now and at most so far, in KiB.
pub fn rss_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// CPU time used so far, user and system, in ticks of 10 ms: fields 14 and 15 of
/// `/proc/PID/stat`, of which the second may hold blanks.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11);
    fields
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}
