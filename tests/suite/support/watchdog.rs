//! Leaves nothing behind, however the test program ends: a child process
//! waits for the end of a pipe that only we hold, then stops every Postgres
//! under our scratch folder and removes it.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Reads process numbers until the pipe closes (`-N` takes N back), then cleans.
/// A stopped process is woken, for it could not die otherwise. A cluster may
/// be just starting, so the folder is gone over until nothing is in it.
const SCRIPT: &str = r#"
base=$1 pids=" "
while read -r line; do
    case $line in
        -*) pids=$(printf '%s' "$pids" | sed "s/ ${line#-} / /") ;;
        *) pids="$pids$line " ;;
    esac
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
# A browser that a driver has started, whose profile is in our folder.
for line in /proc/[0-9]*/cmdline; do
    pid=${line#/proc/} pid=${pid%/cmdline}
    if [ "$pid" != $$ ] && grep -qaF "user-data-dir=$base/" "$line" 2>/dev/null; then kill -KILL "$pid" 2>/dev/null; fi
done
postmasters() {
    find "$base" -name postmaster.pid -exec head -n 1 {} \; 2>/dev/null
}
signal() {
    for pid in $(postmasters); do kill -"$1" "$pid" 2>/dev/null; done
}
tries=0
while [ -e "$base" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    signal CONT
    if [ $tries -lt 80 ]; then signal QUIT; else signal KILL; fi
    if [ -z "$(postmasters)" ] || [ $tries -ge 80 ]; then rm -rf "$base" 2>/dev/null; fi
    sleep 0.1
done
"#;

struct Watchdog {
    base: PathBuf,
    process: Mutex<Child>,
}

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

impl Watchdog {
    fn start() -> Self {
        let base = tempfile::Builder::new()
            .prefix("runtraced-test-")
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir()
            .unwrap()
            .keep();
        let process = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(&base)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends the tests' process group must not end this one.
            .process_group(0)
            .spawn()
            .unwrap();
        let process = Mutex::new(process);
        Self { base, process }
    }

    fn tell(&self, line: &str) {
        let mut process = self.process.lock().unwrap();
        writeln!(process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

fn watchdog() -> &'static Watchdog {
    WATCHDOG.get_or_init(Watchdog::start)
}

/// A new folder that is removed at the end, with any Postgres in it stopped.
/// Other users can pass through it, as an unprivileged Postgres must.
pub fn scratch_dir(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = watchdog().base.join(format!("{name}-{number}"));
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

/// Removes a scratch folder before the end, when its Postgres is stopped.
pub fn remove_scratch_dir(dir: &Path) {
    assert!(dir.starts_with(&watchdog().base), "{}", dir.display());
    let _ = fs::remove_dir_all(dir);
}

/// Kills a process at the end, unless the guard is dropped before: drop it
/// after the process was waited for.
#[must_use]
pub fn guard_process(pid: u32) -> ProcessGuard {
    watchdog().tell(&pid.to_string());
    ProcessGuard(pid)
}

/// See [`guard_process`].
pub struct ProcessGuard(u32);

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        watchdog().tell(&format!("-{}", self.0));
    }
}

mod tests {
    use std::{
        io::{BufRead as _, BufReader, Lines},
        process::ChildStdout,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::support::pg;

    const PLAY_VICTIM: &str = "RUNTRACED_TEST_PLAY_VICTIM";

    /// Scenario: the test program is killed while it has a Postgres and a
    /// daemon. Guarantees: both end, and the folder is removed.
    #[test]
    fn nothing_is_left_behind_by_a_killed_test_program() {
        let (mut victim, mut said) = start_victim();
        let base = PathBuf::from(next_word(&mut said, "base"));
        let sleeper = next_word(&mut said, "sleeper");
        assert!(base.exists() && is_running(&sleeper));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let begin = Instant::now();
        while base.exists() || is_running(&sleeper) {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "{}",
                base.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start_victim() -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "support::watchdog::tests::victim", "--nocapture"])
            .env(PLAY_VICTIM, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(victim.stdout.take().unwrap()).lines();
        (victim, said)
    }

    fn next_word(said: &mut Lines<BufReader<ChildStdout>>, key: &str) -> String {
        let key = format!("{key}=");
        let word = said.find_map(|line| Some(line.ok()?.split_once(&key)?.1.to_owned()));
        word.unwrap()
    }

    fn is_running(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // An orphan may stay a zombie where nobody reaps.
        !stat.is_empty() && !stat.contains(") Z ")
    }

    /// The program that is killed in the test above; by itself it does nothing.
    #[tokio::test]
    async fn victim() {
        if std::env::var_os(PLAY_VICTIM).is_none() {
            return;
        }
        let cluster = pg::own_cluster().await;
        cluster.sigstop();
        let mut freed = Command::new("true").spawn().unwrap();
        let guard = guard_process(freed.id());
        freed.wait().unwrap();
        drop(guard);
        let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
        let _guard = guard_process(sleeper.id());
        println!("\nbase={}", watchdog().base.display());
        println!("sleeper={}", sleeper.id());
        sleeper.wait().unwrap();
    }
}
