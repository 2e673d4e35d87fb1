//! Hostile content, and hostile sites.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus};

use super::client::{Answer, get, get_as, request};
use super::{finished, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{
    ended_with, event, id, new_id, run_ended, run_started, started_with, step,
};
use crate::support::pg;

const HOSTILE: &str =
    "<script>alert(1)</script>\u{202e}\u{1b}[31m\"'\\ </script><!-- \u{2028} $1 %s";

/// Scenario: texts that are markup, control codes and SQL, in every field of a run.
/// Guarantees: the API gives each text as it was, in JSON, with headers that let no script in.
#[tokio::test]
async fn hostile_texts_stay_texts() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, call, said) = (new_id(), new_id(), new_id());
    let long = "x".repeat(1 << 20);
    let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
    let mut called = step(10, 20, run, call);
    if let Some(Body::StepEnded(ended)) = &mut called.event {
        ended.error = Some(HOSTILE.into());
        ended.output_json = Some(deep.clone());
        if let Some(details) = &mut ended.details {
            details.name = Some(HOSTILE.into());
            details.kind = Some(HOSTILE.into());
            details.model = Some(HOSTILE.into());
            details.input_json = Some(serde_json::to_string(HOSTILE).unwrap());
        }
    }
    daemon
        .submit(vec![
            started_with(run_started(0, run), |start| {
                start.agent_id = HOSTILE.into();
                start.name = Some(HOSTILE.into());
                start.input = Some(long.clone());
                start.metadata_json = Some(format!(
                    "{{{}: 1}}",
                    serde_json::to_string(HOSTILE).unwrap()
                ));
            }),
            called,
            event(
                15,
                Body::MessageAppended(proto::MessageAppended {
                    message_id: id(said),
                    run_id: id(run),
                    role: proto::MessageRole::User.into(),
                    content: Some(HOSTILE.into()),
                    ..Default::default()
                }),
            ),
            ended_with(run_ended(30, run, EndStatus::Failed), |end| {
                end.error = Some(HOSTILE.into())
            }),
        ])
        .await;
    let list = get(&daemon, "/api/runs").await;
    for header in [
        "content-type: application/json",
        "x-content-type-options: nosniff",
        "default-src 'none'",
        "require-trusted-types-for 'script'",
        "cache-control: no-store",
    ] {
        assert!(list.head.contains(header), "{header}: {}", list.head);
    }
    let row = &list.json()["rows"][0];
    for field in ["agent_id", "name", "error"] {
        assert_eq!(row[field], HOSTILE, "{field}");
    }
    assert_eq!(row["input"].as_str().unwrap().len(), 120);
    let skeleton = get(&daemon, &format!("/api/runs/{run}")).await.json();
    let strings = skeleton["rows"]["strings"].as_array().unwrap();
    assert!(strings.iter().any(|one| one == HOSTILE), "{strings:?}");
    assert_eq!(skeleton["run"]["metadata"][HOSTILE], 1);
    let payload = get(
        &daemon,
        &format!("/api/runs/{run}/payload?item=step&id={call}"),
    )
    .await
    .json();
    assert_eq!(payload["fields"]["output"]["text"], deep);
    let talk = get(&daemon, &format!("/api/runs/{run}/conversation"))
        .await
        .json();
    assert_eq!(talk["rows"][0]["content"], HOSTILE);
    let found = get(
        &daemon,
        &format!("/api/runs/{run}/find?q=%3Cscript%3Ealert(1)"),
    )
    .await
    .json();
    assert_eq!(found["hits"].as_array().unwrap().len(), 2);
    daemon.finish().await;
}

/// Scenario: a page of another site makes the browser of somebody on this machine ask.
/// Guarantees: it gets nothing, by whatever name it calls the daemon.
#[tokio::test]
async fn other_sites_get_nothing() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    daemon.submit(finished(0, new_id(), "a", "t")).await;
    let local = daemon.http_address().to_owned();
    let ask = async |headers: &[(&str, &str)]| {
        request(&daemon, "GET", "/api/runs", headers, "")
            .await
            .status
    };
    assert_eq!(ask(&[]).await, 200);
    assert_eq!(ask(&[("Origin", &format!("http://{local}"))]).await, 200);
    // A name that points to 127.0.0.1.
    assert_eq!(ask(&[("Host", "evil.example:4318")]).await, 401);
    assert_eq!(ask(&[("X-Forwarded-For", "10.0.0.1")]).await, 401);
    for other in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(ask(&[("Origin", other)]).await, 403, "{other}");
    }
    assert_eq!(ask(&[("Sec-Fetch-Site", "cross-site")]).await, 403);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = request(&daemon, "POST", "/api/login", &form, "key=rt_1").await;
    assert_eq!(posted.status, 403);
    // Nor does it decide for them.
    let (run, asked) = (new_id(), new_id());
    let asks = super::approval(10, run, asked, None);
    daemon.submit(vec![run_started(0, run), asks]).await;
    let one = format!("/api/approvals/{asked}");
    let seen = request(&daemon, "GET", &one, &[], "").await.json();
    let shown = &seen["approval"]["revision"];
    let decision = format!("{{\"decision\":\"approved\",\"shown\":{shown}}}");
    for (name, value, status) in [
        ("Origin", "http://evil.example", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Host", "evil.example:4318", 401),
        ("Via", "1.1 proxy", 401),
    ] {
        let headers = [("Content-Type", "application/json"), (name, value)];
        let path = format!("{one}/decision");
        let answer = request(&daemon, "POST", &path, &headers, &decision).await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    let still = request(&daemon, "GET", &one, &[], "").await.json();
    assert_eq!(still["approval"]["status"], "pending");
    // Agents without a key wait for decisions, and call the daemon by the names of machines.
    for (host, status) in [
        ("evil.example:4318", 401),
        ("runtraced:4318", 200),
        ("host.docker.internal:4318", 200),
    ] {
        let seen = request(&daemon, "GET", &one, &[("Host", host)], "").await;
        assert_eq!(seen.status, status, "{host}");
        assert!(!seen.body.contains("action_"), "{host}");
    }
    // Nor does it write.
    let own = format!("http://{local}");
    for path in ["/v1/events", "/v1/traces"] {
        for (host, origin, status) in [
            ("evil.example:4318", "http://evil.example:4318", 403),
            (local.as_str(), own.as_str(), 200),
        ] {
            let headers = [
                ("Content-Type", "application/json"),
                ("Host", host),
                ("Origin", origin),
            ];
            let body = if path == "/v1/events" { "[]" } else { "{}" };
            let answer = request(&daemon, "POST", path, &headers, body).await;
            assert_eq!(answer.status, status, "{path} of {host}: {}", answer.body);
        }
    }
    daemon.finish().await;
}

/// Scenario: somebody logs in at the page with a key, and out again.
/// Guarantees: the cookie holds a session and not the key, and reads until then; no script gets at it; another session
/// of the same key goes on, until the key is revoked.
#[tokio::test]
async fn logging_in_gives_a_cookie_that_reads() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let key = runtraced(
        database.url(),
        &["keys", "create", "--name", "Ann", "--read"],
    );
    let writing = runtraced(database.url(), &["keys", "create", "--name", "w"]);
    let json = [("Content-Type", "application/json")];
    let log_in = async |key: &str| {
        let body = format!("{{\"key\":\"{key}\"}}");
        request(&daemon, "POST", "/api/login", &json, &body).await
    };
    // The daemon reads keys once a second.
    let mut answer = log_in(&key).await;
    while answer.status == 401 || answer.status == 503 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = log_in(&key).await;
    }
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(
        answer.head.contains("httponly; samesite=strict"),
        "{}",
        answer.head
    );
    let session = |answer: &Answer| {
        let (_, rest) = answer.head.split_once("runtraced_session=").unwrap();
        rest.split(';').next().unwrap().to_owned()
    };
    let (one, two) = (session(&answer), session(&log_in(&key).await));
    let secret = key.rsplit('_').next().unwrap();
    assert!(one != two && one.len() == 64);
    assert!(!answer.head.contains(secret), "{}", answer.head);
    let cookies = [one, two].map(|id| format!("theme=dark; runtraced_session={id}"));
    let with_cookie = [("Cookie", cookies[0].as_str())];
    let with_other = [("Cookie", cookies[1].as_str())];
    // The key itself is no session.
    let stale = format!("runtraced_session={key}");
    let stale = [("Cookie", stale.as_str())];
    let reads = async |cookie: &[(&str, &str)]| {
        request(&daemon, "GET", "/api/runs", cookie, "")
            .await
            .status
    };
    assert_eq!(reads(&stale).await, 401);
    assert_eq!(
        request(&daemon, "GET", "/api/runs", &with_cookie, "")
            .await
            .status,
        200
    );
    let me = request(&daemon, "GET", "/api/me", &with_cookie, "")
        .await
        .json();
    assert_eq!(
        (&me["name"], &me["login"], &me["may"]["decide"]),
        (&"Ann".into(), &"key".into(), &false.into())
    );
    assert_eq!(log_in("rt_nonsense").await.status, 401);
    assert_eq!(log_in(&writing).await.status, 401);
    assert_eq!(
        get_as(&daemon, "", "/api/me").await.json()["login"],
        "needed"
    );
    let leaving = [json[0], with_other[0]];
    let out = request(&daemon, "POST", "/api/logout", &leaving, "{}").await;
    assert!(out.head.contains("max-age=0"), "{}", out.head);
    assert_eq!(reads(&with_other).await, 401);
    assert_eq!(reads(&with_cookie).await, 200);
    let id = key.split('_').nth(1).unwrap();
    runtraced(database.url(), &["keys", "revoke", id]);
    while reads(&with_cookie).await == 200 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(reads(&with_cookie).await, 401);
    daemon.finish().await;
}
