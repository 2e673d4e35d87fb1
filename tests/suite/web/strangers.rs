//! Requests that come from this machine, but not from whoever runs the daemon.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::client::request;
use crate::support::daemon::Daemon;
use crate::support::pg;

/// A user who owns nothing.
const NOBODY: u32 = 65_534;

/// The status of a request that a shell of another user sends; `None`: only root can be
/// another user.
fn status_as(user: u32, daemon: &Daemon, path: &str, version: &str) -> Option<String> {
    let (host, port) = daemon.http_address().split_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET {path} HTTP/{version}\\r\\nHost: {host}:{port}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir("/");
    let own = own_user();
    if own != user {
        if own != 0 {
            println!("skipped: only root can send as another user");
            return None;
        }
        shell.uid(user);
    }
    let answer = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    Some(answer.split(' ').nth(1).unwrap().to_owned())
}

fn own_user() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

/// Scenario: a daemon on loopback without keys; its own user asks, then a service of this machine that
/// runs as another user and adds nothing to its requests, as nginx does; then proxies that say what they are.
/// Guarantees: only the first reads; the page itself, which holds no traces, is shown to all.
#[tokio::test]
async fn only_the_daemons_user_reads_without_a_key() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let asked = |user, path: &str, version: &str| status_as(user, &daemon, path, version);
    assert_eq!(
        asked(own_user(), "/api/runs", "1.1").as_deref(),
        Some("200")
    );
    assert_eq!(
        asked(own_user(), "/api/runs", "1.0").as_deref(),
        Some("401"),
        "as nginx does by default"
    );
    for path in ["/api/runs", "/api/stats", "/api/approvals"] {
        if let Some(status) = asked(NOBODY, path, "1.1") {
            assert_eq!(status, "401", "{path}");
        }
    }
    if let Some(status) = asked(NOBODY, "/", "1.1") {
        assert_eq!(status, "200");
    }
    for (name, value) in [
        ("Via", "1.1 proxy"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "traces.example"),
    ] {
        let answer = request(&daemon, "GET", "/api/runs", &[(name, value)], "").await;
        assert_eq!(answer.status, 401, "{name}");
    }
    daemon.finish().await;
}

/// Scenario: the same daemon with `--open-page`.
/// Guarantees: other users of this machine read, proxies that say what they are do not.
#[tokio::test]
async fn an_open_page_is_for_all_users_of_the_machine() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--open-page"]).await;
    if let Some(status) = status_as(NOBODY, &daemon, "/api/runs", "1.1") {
        assert_eq!(status, "200");
    }
    let proxied = [("X-Forwarded-For", "10.0.0.1")];
    let answer = request(&daemon, "GET", "/api/runs", &proxied, "").await;
    assert_eq!(answer.status, 401);
    daemon.finish().await;
}
