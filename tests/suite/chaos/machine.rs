//! What a daemon runs on and may fail beneath it: the disk of its spool, its
//! wall clock. `shim.c` does it, inside the daemon.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::watchdog;

/// Where a daemon can be given a machine that fails.
pub const FAILS: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// Where each order and each count is in the file that `shim.c` maps.
const ROOM: u64 = 0;
const SLOW_MILLIS: u64 = 8;
const CLOCK_SECONDS: u64 = 16;
const REFUSED: u64 = 24;
const SLOWED: u64 = 32;
const SHIFTED: u64 = 40;

/// A machine with a folder for a spool; daemons come and go on it.
pub struct Machine {
    dir: PathBuf,
    /// The folder of the spool.
    pub spool: PathBuf,
    control: File,
    env: Vec<(&'static str, String)>,
}

impl Machine {
    /// One on which all is well.
    pub fn new() -> Self {
        let dir = watchdog::scratch_dir("machine");
        std::fs::create_dir(dir.join("spool")).unwrap();
        // The kernel tells the shim of files by their true paths.
        let spool = dir.join("spool").canonicalize().unwrap();
        let path = dir.join("control");
        let control = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        control.write_all_at(&[0; 48], 0).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut env = Vec::new();
        if FAILS {
            env.push(("LD_PRELOAD", text(shim())));
            env.push(("CHAOS_CONTROL", text(&path)));
            env.push(("CHAOS_SPOOL", text(&spool)));
        }
        let machine = Self {
            dir,
            spool,
            control,
            env,
        };
        machine.give_room();
        machine
    }

    /// Starts a daemon with its spool here, and waits until it listens.
    pub async fn spawn(&self, url: &str, args: &[&str]) -> Daemon {
        let args = [&["--spool-dir", self.spool.to_str().unwrap()], args].concat();
        let env: Vec<_> = self
            .env
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        Daemon::spawn_with_env(url, &args, &env).await
    }

    /// The disk takes so many bytes more.
    pub fn fill_up(&self, room: u32) {
        self.set(ROOM, room.into());
    }

    /// It has room again.
    pub fn give_room(&self) {
        self.set(ROOM, -1);
    }

    /// Each write and each sync takes so much longer.
    pub fn slow_down(&self, millis: u32) {
        self.set(SLOW_MILLIS, millis.into());
    }

    /// The wall clock is wrong by so many seconds.
    pub fn set_clock(&self, seconds: i64) {
        self.set(CLOCK_SECONDS, seconds);
    }

    /// How often the disk had no room.
    pub fn refused(&self) -> i64 {
        self.get(REFUSED)
    }

    /// How often it was slow.
    pub fn slowed(&self) -> i64 {
        self.get(SLOWED)
    }

    /// How often the daemon was told a wrong time.
    pub fn shifted(&self) -> i64 {
        self.get(SHIFTED)
    }

    /// Waits until a count has grown: a fault that nobody feels proves nothing.
    pub async fn felt(&self, count: fn(&Self) -> i64) {
        let (before, deadline) = (count(self), Instant::now() + Duration::from_secs(60));
        while count(self) == before {
            assert!(Instant::now() < deadline, "the daemon does not feel it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn set(&self, at: u64, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }

    fn get(&self, at: u64) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).unwrap();
        i64::from_ne_bytes(bytes)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        watchdog::remove_scratch_dir(&self.dir);
    }
}

/// The library, compiled once; a linker is wherever Rust is.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let library = watchdog::scratch_dir("shim").join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/chaos/shim.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .output()
            .unwrap();
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        library
    })
}
