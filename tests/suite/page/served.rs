//! The files of the page.

use std::fs;
use std::path::Path;

use crate::support::daemon::Daemon;
use crate::support::pg;

/// JavaScript and CSS together, in bytes, as they are served and not compressed.
const MOST: usize = 80_000;

/// Scenario: somebody opens the page, and the browser asks for every file of it.
/// Guarantees: all are there, and all scripts and styles together are at most 80 kB; nothing
/// in them names another host.
#[tokio::test]
async fn scripts_and_styles_are_at_most_80_kb() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (status, index) = daemon.get("/").await;
    assert_eq!(status, 200);
    let (_, rest) = index.split_once("/assets/").unwrap();
    let hash = rest.split('/').next().unwrap();
    let mut sum = 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets");
    for file in fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if !Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "js" || ending == "css")
        {
            continue;
        }
        let (status, content) = daemon.get(&format!("/assets/{hash}/{name}")).await;
        assert_eq!(status, 200, "{name}");
        sum += content.len();
        for (at, _) in content.match_indices("://") {
            let scheme = &content[..at];
            let svg = content[at..].starts_with("://www.w3.org/2000/svg");
            assert!(
                svg || !scheme.ends_with("http") && !scheme.ends_with("https"),
                "{name}"
            );
        }
    }
    assert!((1..=MOST).contains(&sum), "{sum} bytes");
    daemon.finish().await;
}
