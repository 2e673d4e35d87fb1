//! Paths, methods and parameters that the API does not have.

use super::client::{get, request};
use crate::support::daemon::Daemon;
use crate::support::pg;

/// Scenario: somebody mistypes a path, uses a wrong method, an id that is no text, or an order that there is not.
/// Guarantees: each error has the documented form, status and code; a wrong method is told the right ones. What is
/// sent to the root still hears where OTLP goes.
#[tokio::test]
async fn what_the_api_does_not_have_is_told_in_its_own_form() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    for (method, path, status, code) in [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/runs/", 404, "not_found"),
        ("POST", "/api/nothing", 404, "not_found"),
        ("GET", "/approvals/1/2", 404, "not_found"),
        ("DELETE", "/api/runs", 405, "method"),
        ("GET", "/api/login", 405, "method"),
        ("GET", "/api/runs/%ff", 400, "bad_request"),
        ("GET", "/api/runs?order=sideways", 400, "bad_request"),
    ] {
        let answer = request(&daemon, method, path, &[], "").await;
        let json = answer.json();
        assert_eq!(
            (answer.status, json["code"].as_str()),
            (status, Some(code)),
            "{method} {path}"
        );
        assert!(json["error"].is_string(), "{answer:?}");
        let allowed = answer.head.to_ascii_lowercase().contains("\nallow: ");
        assert_eq!(allowed, status == 405, "{answer:?}");
    }
    for path in ["/api/runs?order=desc", "/runs"] {
        assert_eq!(get(&daemon, path).await.status, 200, "{path}");
    }
    let root = request(&daemon, "POST", "/", &[], "{}").await;
    assert!(root.body.contains("/v1/traces"), "{root:?}");
    daemon.finish().await;
}
