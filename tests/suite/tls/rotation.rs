//! Files that change under a running daemon.

use std::time::{Duration, Instant};

use super::authority::Authority;
use super::{Files, connect};
use crate::support::events::{new_id, steps};
use crate::support::pg;
use runtraced_client::StreamOptions;

/// Scenario: a stream is open; the files become those of another authority, then
/// broken in several ways, then good again; half of the time only one of the
/// two is there.
/// Guarantees: the stream goes on throughout; new clients see each good pair
/// within seconds, and the last good one while the files are broken, which is an
/// ERROR; nothing is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_followed_and_broken_ones_change_nothing() {
    let database = pg::database().await;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old.issue());
    let mut daemon = files.daemon(database.url(), false).await;
    daemon.expect_warnings("TLS files changed and cannot be used");
    let client = connect(&daemon, &old, None).await.unwrap();
    let mut stream = client.stream(StreamOptions::default());
    stream.send(steps(new_id(), 5), 0).await.unwrap();

    let second = new.issue();
    files.put(&second);
    let deadline = Instant::now() + Duration::from_secs(20);
    while connect(&daemon, &new, None).await.is_err() {
        assert!(Instant::now() < deadline, "{}", daemon.logs());
    }
    assert!(connect(&daemon, &old, None).await.is_err());
    stream.send(steps(new_id(), 5), 1).await.unwrap();

    let stranger = old.issue();
    for (what, name, content) in [
        ("no certificate", "cert.pem", "nothing"),
        ("cut off", "cert.pem", &second.cert_pem[..200]),
        ("of another key", "cert.pem", &*stranger.cert_pem),
        ("no key", "key.pem", ""),
    ] {
        let errors = errors(&daemon);
        files.write(name, content);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self::errors(&daemon) == errors {
            assert!(Instant::now() < deadline, "{what}: no ERROR");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(connect(&daemon, &new, None).await.is_ok(), "{what}");
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        assert_eq!(self::errors(&daemon), errors + 1, "{what}: told again");
        files.put(&second);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    std::fs::remove_file(files.path("key.pem")).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(connect(&daemon, &new, None).await.is_ok());
    files.put(&old.issue());
    let deadline = Instant::now() + Duration::from_secs(20);
    while connect(&daemon, &old, None).await.is_err() {
        assert!(Instant::now() < deadline, "{}", daemon.logs());
    }
    stream.send(steps(new_id(), 5), 2).await.unwrap();
    assert_eq!(stream.finish().await.unwrap().committed, 15);
    files.write("ca.pem", &old.pem);
    super::finish(daemon, &files).await;
}

fn errors(daemon: &crate::support::daemon::Daemon) -> usize {
    daemon.logs().matches("cannot be used").count()
}
