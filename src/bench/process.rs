//! CPU time and memory of processes, from Linux' /proc.

use std::fs;
use std::path::Path;

/// USER_HZ: the unit of times in /proc, which Linux fixes at 100 (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// Indexes into [`stat_fields`] of the fields 4 and 14 of proc(5).
const PPID: usize = 1;
const UTIME: usize = 11;

/// The processes whose resources are measured.
#[derive(Clone, Copy, Debug)]
pub struct WatchedProcesses {
    /// Process id of the daemon.
    pub daemon: u32,
    /// Process id of the postmaster; `None` when it is on another machine.
    pub postmaster: Option<u32>,
}

/// CPU time of each party, user and system, in seconds.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[allow(missing_docs)]
pub struct CpuSeconds {
    pub client: f64,
    pub daemon: f64,
    pub postgres: f64,
}

impl WatchedProcesses {
    /// CPU time used so far. Postgres includes all its backends.
    #[must_use]
    pub fn cpu(&self) -> CpuSeconds {
        let postgres = |pid| cpu_seconds(pid, true) + children_cpu_seconds(pid);
        CpuSeconds {
            client: cpu_seconds(std::process::id(), false),
            daemon: cpu_seconds(self.daemon, false),
            postgres: self.postmaster.map_or(0.0, postgres),
        }
    }

    /// The largest resident size that the daemon ever had, in bytes.
    #[must_use]
    pub fn peak_daemon_bytes(&self) -> u64 {
        memory_bytes(self.daemon, "VmHWM:")
    }
}

/// The resident size of a process, in bytes; 0 when the process has ended.
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

impl CpuSeconds {
    /// CPU time used between `earlier` and `self`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            client: self.client - earlier.client,
            daemon: self.daemon - earlier.daemon,
            postgres: self.postgres - earlier.postgres,
        }
    }
}

/// The process id of a process's parent.
#[must_use]
pub fn parent_pid(pid: u32) -> Option<u32> {
    stat_fields(pid)?.get(PPID)?.parse().ok()
}

/// CPU time used so far by the threads of a process whose names begin with `prefix`, in seconds.
#[must_use]
pub fn thread_cpu_seconds(pid: u32, prefix: &str) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let named = threads.filter(|thread| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name.starts_with(prefix))
    });
    named
        .map(|thread| seconds_of(fields_of(&thread.path().join("stat")), 2))
        .sum()
}

/// The fields of /proc/PID/stat after the process name: index 0 is field 3 of proc(5).
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    fields_of(Path::new(&format!("/proc/{pid}/stat")))
}

fn fields_of(stat: &Path) -> Option<Vec<String>> {
    let stat = fs::read_to_string(stat).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// utime plus stime of a process in seconds, on request with those of its ended children.
#[must_use]
pub fn cpu_seconds(pid: u32, ended_children: bool) -> f64 {
    // utime and stime; the two fields after them are cutime and cstime.
    seconds_of(stat_fields(pid), if ended_children { 4 } else { 2 })
}

/// The sum of so many fields from utime on, in seconds; 0 when the process has ended.
fn seconds_of(fields: Option<Vec<String>>, count: usize) -> f64 {
    let fields = fields.unwrap_or_default();
    let ticks = fields.iter().skip(UTIME).take(count);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

fn children_cpu_seconds(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.map(|pid| cpu_seconds(pid, false)).sum()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_cpu_time() {
        let watched = WatchedProcesses {
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
        assert!(parent_pid(std::process::id()).is_some());
    }

    #[test]
    fn the_time_of_a_thread_is_found_by_its_name() {
        let worker = std::thread::Builder::new().name("spinner-7".to_owned());
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let spinning = worker.spawn(move || {
            let begin = std::time::Instant::now();
            while begin.elapsed().as_millis() < 60 {
                std::hint::spin_loop();
            }
            // It must live while it is looked at.
            wait.recv().unwrap();
        });
        let spinning = spinning.unwrap();
        std::thread::sleep(std::time::Duration::from_millis(80));
        let pid = std::process::id();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while thread_cpu_seconds(pid, "spinner-") == 0.0 {
            assert!(std::time::Instant::now() < limit, "no time is found");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(thread_cpu_seconds(pid, "nobody-"), 0.0);
        done.send(()).unwrap();
        spinning.join().unwrap();
    }
}
