//! What processes use: CPU time and memory, as Linux tells in /proc.

use std::fs;

/// USER_HZ, which Linux fixes at 100 for all that is in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// Who is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// The daemon.
    pub daemon: u32,
    /// The postmaster, where it is on this machine.
    pub postmaster: Option<u32>,
}

/// CPU seconds, user and system.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[allow(missing_docs)]
pub struct Cpu {
    pub client: f64,
    pub daemon: f64,
    pub postgres: f64,
}

impl Watched {
    /// CPU time used so far.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        let postgres = |pid| ticks(pid, true) + children(pid);
        Cpu {
            client: ticks(std::process::id(), false),
            daemon: ticks(self.daemon, false),
            postgres: self.postmaster.map_or(0.0, postgres),
        }
    }

    /// The most memory that the daemon ever had, in bytes.
    #[must_use]
    pub fn peak_daemon_bytes(&self) -> u64 {
        memory_bytes(self.daemon, "VmHWM:")
    }
}

/// The memory that a process has now, in bytes; 0 where it is gone.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    memory_bytes(pid, "VmRSS:")
}

fn memory_bytes(pid: u32, name: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

impl Cpu {
    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            client: self.client - earlier.client,
            daemon: self.daemon - earlier.daemon,
            postgres: self.postgres - earlier.postgres,
        }
    }
}

/// The parent of a process.
#[must_use]
pub fn parent(pid: u32) -> Option<u32> {
    fields(pid)?.get(1)?.parse().ok()
}

/// The fields of `stat` after the name, from the third on (proc(5)).
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// utime and stime, with those of ended children if asked, in seconds.
fn ticks(pid: u32, ended_children: bool) -> f64 {
    let fields = fields(pid).unwrap_or_default();
    let count = if ended_children { 4 } else { 2 };
    let ticks = fields.iter().skip(11).take(count);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

fn children(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.map(|pid| ticks(pid, false)).sum()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_cpu_time() {
        let watched = Watched {
            daemon: std::process::id(),
            postmaster: None,
        };
        let before = watched.cpu();
        let begin = std::time::Instant::now();
        while begin.elapsed().as_millis() < 60 {
            std::hint::spin_loop();
        }
        let used = watched.cpu().since(before);
        assert!(used.daemon > 0.0, "{used:?}");
        assert!(watched.peak_daemon_bytes() > 1 << 20);
        assert!(parent(std::process::id()).is_some());
    }
}
