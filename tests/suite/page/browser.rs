//! A headless Chromium, and what must hold when a test is done with it.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::webdriver::command;
use crate::support::watchdog;

/// How long the page may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One browser at a time: more would only slow each other down.
static TURN: Mutex<()> = Mutex::new(());

/// An open window.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Scheme, host and port of the daemon.
    origin: String,
    /// Kept open: the driver ends when nobody reads what it says.
    _said: Lines<BufReader<ChildStdout>>,
    /// Where the browser keeps what it writes. It would leave hundreds of folders in `/tmp`.
    folder: PathBuf,
    _guard: watchdog::ProcessGuard,
    _turn: MutexGuard<'static, ()>,
}

/// Whether there is a browser. The script installs it, or says why the tests are skipped. With
/// CI=true it fails instead.
fn available() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-browser.sh");
        let status = Command::new(script).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "no browser, and CI=true");
        Command::new("chromedriver")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok()
    })
}

impl Browser {
    /// Opens a window on the daemon's page, or says that the test is skipped.
    pub fn open(http_address: &str) -> Option<Self> {
        Self::sized(http_address, 1_440, 900)
    }

    /// The same, of a size.
    pub fn sized(http_address: &str, width: u32, height: u32) -> Option<Self> {
        if !available() {
            println!("skipped: there is no browser");
            return None;
        }
        let turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = watchdog::scratch_dir("browser");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let guard = watchdog::guard_process(driver.id());
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.rsplit_once("successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("the driver says its port");
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--disable-background-networking", "--disable-component-update", "--no-first-run",
                format!("--window-size={width},{height}"),
            ]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let answer = command(port, "POST", "/session", &wanted).unwrap();
        let browser = Self {
            driver,
            port,
            session: answer["sessionId"].as_str().unwrap().to_owned(),
            origin: format!("http://{http_address}"),
            _said: lines,
            folder,
            _guard: guard,
            _turn: turn,
        };
        // A window has borders; what counts is the size of the page.
        browser.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
        );
        Some(browser)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        command(self.port, method, &path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, name: &str, params: &Value) -> Value {
        self.command(
            "POST",
            "/goog/cdp/execute",
            &json!({"cmd": name, "params": params}),
        )
    }

    /// Goes to a path of the page.
    pub fn go(&self, path: &str) {
        self.command(
            "POST",
            "/url",
            &json!({"url": format!("{}{path}", self.origin)}),
        );
    }

    /// Path and query of the address.
    pub fn address(&self) -> String {
        let url = self.command("GET", "/url", &Value::Null);
        url.as_str().unwrap().replacen(&self.origin, "", 1)
    }

    /// Runs a function body in the page; `arguments` are the given ones.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.command(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": arguments}),
        )
    }

    /// The same; the last argument is a function that ends it with its value.
    pub fn run_async(&self, script: &str) -> Value {
        self.command(
            "POST",
            "/execute/async",
            &json!({"script": script, "args": []}),
        )
    }

    /// The value of an expression.
    pub fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), &[])
    }

    /// The text of what a selector finds first.
    pub fn text(&self, selector: &str) -> String {
        let text = self.run(
            "return document.querySelector(arguments[0])?.textContent ?? null",
            &[json!(selector)],
        );
        text.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements a selector finds.
    pub fn count(&self, selector: &str) -> u64 {
        let count = self.run(
            "return document.querySelectorAll(arguments[0]).length",
            &[json!(selector)],
        );
        count.as_u64().unwrap()
    }

    /// Waits until an expression is true.
    pub fn wait(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("!!({expression})")) != true {
            assert!(
                Instant::now() < deadline,
                "never: {expression}\n{}\n{}",
                self.address(),
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until what a selector finds says this.
    pub fn wait_text(&self, selector: &str, text: &str) {
        self.wait(&format!(
            "[...document.querySelectorAll({})].some(el => el.textContent.includes({}))",
            json!(selector),
            json!(text)
        ));
    }

    /// Presses keys one after the other. `\u{e007}` is Enter, `\u{e00c}` Escape.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        self.command(
            "POST",
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}),
        );
    }

    /// Clicks what a selector finds first, as a person would.
    pub fn click(&self, selector: &str) {
        let element = self.command(
            "POST",
            "/element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = element
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.command("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Types into a field.
    pub fn fill(&self, selector: &str, text: &str) {
        self.click(selector);
        self.press(text);
    }

    /// No error in the console, no violation of the policy, no request to anybody else.
    pub fn finish(self) {
        let log = self.command("POST", "/se/log", &json!({"type": "browser"}));
        let bad: Vec<&Value> = log
            .as_array()
            .unwrap()
            .iter()
            // A test may ask for what is refused; the page then says so.
            .filter(|entry| entry["level"] == "SEVERE" && entry["source"] != "network")
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
        let log = self.command("POST", "/se/log", &json!({"type": "performance"}));
        let mut requests = 0;
        for entry in log.as_array().unwrap() {
            let entry: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let message = &entry["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let url = message["params"]["request"]["url"].as_str().unwrap();
                requests += 1;
                assert!(
                    url.starts_with(&format!("{}/", self.origin)) || url.starts_with("data:"),
                    "a request to {url}"
                );
            }
        }
        assert!(requests > 3, "the log has no requests");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = command(
            self.port,
            "DELETE",
            &format!("/session/{}", self.session),
            &Value::Null,
        );
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // Also after a failed test. The last processes of the browser may still write; then the end
        // of all tests removes the rest.
        watchdog::remove_scratch_dir(&self.folder);
    }
}
