//! CPU time of this process, the daemon, and Postgres with all its children.

use std::fs;

/// USER_HZ, which Linux fixes at 100 for all that is in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub client: f64,
    pub daemon: f64,
    pub postgres: f64,
    of: (u32, Option<u32>),
}

impl Cpu {
    pub fn now(postmaster: u32, daemon: Option<u32>) -> Self {
        Self {
            client: ticks(std::process::id(), false),
            daemon: daemon.map_or(0.0, |pid| ticks(pid, false)),
            postgres: ticks(postmaster, true) + children(postmaster),
            of: (postmaster, daemon),
        }
    }

    pub fn until_now(self) -> Self {
        let now = Self::now(self.of.0, self.of.1);
        Self {
            client: now.client - self.client,
            daemon: now.daemon - self.daemon,
            postgres: now.postgres - self.postgres,
            of: self.of,
        }
    }
}

/// utime and stime, with those of reaped children if asked (proc(5), stat).
fn ticks(pid: u32, reaped: bool) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0.0;
    };
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return 0.0;
    };
    let fields: Vec<f64> = fields
        .split(' ')
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let own = fields[11] + fields[12];
    let children = if reaped { fields[13] + fields[14] } else { 0.0 };
    (own + children) / TICKS_PER_SECOND
}

fn children(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(|pid| ticks(pid, false))
        .sum()
}
