//! Nothing secret gets out.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::doors::{DOORS, ask, styles};
use super::{client, create, revoke, until_judged};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::spool::SpoolDir;

/// Scenario: a daemon that logs everything there is to log takes a valid key, one that is wrong, and one that
/// is none, through every door in every style; one is revoked, under an open connection.
/// Guarantees: neither logs, nor metrics, nor the file that keeps keys, nor any error hold a key or what it
/// could be guessed from; the log does hold what it should.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_in_logs_metrics_files_or_errors() {
    let database = pg::database().await;
    let spool = SpoolDir::new();
    let (args, log) = (spool.flags(&[]), [("RUST_LOG", "trace")]);
    let mut daemon = Daemon::spawn_as_is_with_env(database.url(), &args, &log).await;
    let key = create(database.url(), "secretive", &[]).await;
    until_judged(&daemon, &key, true).await;
    let wrong = format!("rt_{}_{:064x}", key.id.simple(), 0xdead_beef_u32);
    let broken = format!("{}f", key.text);
    let mut told = String::new();
    for door in DOORS {
        for text in [&key.text, &wrong, &broken] {
            for header in styles(text) {
                ask(&daemon, door, &[header]).await;
            }
        }
    }
    revoke(database.url(), &key).await;
    until_judged(&daemon, &key, false).await;
    let denied = client(&daemon, &key).await;
    let error = denied
        .submit(vec![run_started(0, new_id())])
        .await
        .unwrap_err();
    told += &format!("{error} {error:?} {denied:?}");
    told += &daemon.get("/metrics").await.1;
    told += &daemon.logs();
    for file in std::fs::read_dir(spool.path()).unwrap() {
        told += &String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(
        told.contains("\"level\":\"TRACE\""),
        "the log is not at trace"
    );
    assert!(told.contains("runtraced_auth_failures_total"));
    let hash = |text: &str| {
        let hash = Sha256::digest(text.as_bytes());
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for text in [&key.text, &wrong, &broken] {
        // Base64 of the middle of a pair, whatever stands before it.
        let encoded = (0..3).map(|skip| STANDARD_NO_PAD.encode(&text.as_bytes()[40 + skip..97]));
        let encoded = encoded.map(|text| text[4..text.len() - 4].to_owned());
        let whole = STANDARD.encode(format!("api:{text}"));
        let secrets = [text[40..].to_owned(), whole, hash(text)];
        for secret in secrets.into_iter().chain(encoded) {
            let place = told.find(&secret);
            let around = place.map(|at| &told[at.saturating_sub(300)..(at + 100).min(told.len())]);
            assert_eq!(around, None, "{secret}");
        }
    }
    assert!(daemon.terminate().await.success());
}
