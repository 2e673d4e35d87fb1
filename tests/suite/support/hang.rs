//! Ends the test program when one test with a database does not end: otherwise nobody would learn which one hangs.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process,
    sync::{Mutex, Once},
    thread,
    time::{Duration, Instant},
};

use super::random::from_env;

/// The default for `RUNTRACED_TEST_MINUTES`, far more than any test of `make test` takes.
const LIMIT_MINUTES: u64 = 10;

static RUNNING: Mutex<BTreeMap<u64, (String, Instant)>> = Mutex::new(BTreeMap::new());

/// What a test holds while it runs.
#[derive(Debug)]
pub struct TestAlive(u64);

impl TestAlive {
    /// Watches the test that calls this, until what it returns is dropped.
    pub fn watch() -> Self {
        static MONITOR: Once = Once::new();
        MONITOR.call_once(|| drop(thread::spawn(end_if_hung)));
        let mut running = RUNNING.lock().unwrap();
        let number = running.last_key_value().map_or(0, |(last, _)| last + 1);
        // The test harness names the thread of a test after the test.
        let name = thread::current().name().unwrap_or("a test").to_owned();
        running.insert(number, (name, Instant::now()));
        Self(number)
    }
}

impl Drop for TestAlive {
    fn drop(&mut self) {
        RUNNING.lock().unwrap().remove(&self.0);
    }
}

fn end_if_hung() {
    let minutes = from_env("RUNTRACED_TEST_MINUTES", LIMIT_MINUTES);
    let limit = Duration::from_secs(60 * minutes);
    loop {
        thread::sleep(Duration::from_secs(1));
        let running = RUNNING.lock().unwrap();
        let hung = running.values().find(|(_, since)| since.elapsed() > limit);
        if let Some((name, _)) = hung {
            // Past the capture of the harness, which belongs to the test that hangs.
            let line = format!("\ntest {name} has not ended after {minutes} minutes\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            process::exit(101);
        }
    }
}

mod tests {
    use std::process::Command;

    use super::*;

    const HANG: &str = "RUNTRACED_TEST_HANG";

    /// Scenario: a test does not end.
    /// Guarantees: the program ends with an error that names the test.
    #[test]
    fn a_test_that_hangs_is_named_and_ends_the_program() {
        let victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "support::hang::tests::hanging"])
            .envs([(HANG, "1"), ("RUNTRACED_TEST_MINUTES", "0")])
            .output()
            .unwrap();
        let said = String::from_utf8(victim.stderr).unwrap();
        let want = "test support::hang::tests::hanging has not ended after 0 minutes";
        assert!(said.contains(want), "{said}");
        assert_eq!(victim.status.code(), Some(101));
    }

    /// The test that hangs above; by itself it does nothing.
    #[test]
    fn hanging() {
        if std::env::var_os(HANG).is_some() {
            let _alive = TestAlive::watch();
            thread::sleep(Duration::from_secs(600));
        }
    }
}
