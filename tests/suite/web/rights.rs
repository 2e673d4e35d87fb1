//! Who reads what: the same as SQL under the same role and claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::Code;
use uuid::Uuid;

use runtraced::client::ClientError;

use super::client::{Events, get_as, post_as};
use super::{approval, finished, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{event, id, new_id, run_started, started_with};
use crate::support::pg;
use runtraced::proto::{self, event::Event as Body};

const SECRET: &[u8] = b"a secret of thirty-two bytes ....";

/// A token of a user, as Supabase issues it.
fn token(user: Uuid) -> (String, String) {
    token_until(user, 99_999_999_999)
}

/// The same with an end, in seconds since 1970.
fn token_until(user: Uuid, end: u64) -> (String, String) {
    let claims = format!("{{\"sub\":\"{user}\",\"role\":\"authenticated\",\"exp\":{end}}}");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part("{\"alg\":\"HS256\"}"), part(&claims));
    let sign = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET),
        signed.as_bytes(),
    );
    (format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign)), claims)
}

/// The ids that a query gives under the role of readers with these claims; `None`: as the
/// owner.
async fn sql_ids(conn: &mut PgConnection, claims: Option<&str>, query: &str) -> Vec<String> {
    let mut tx = conn.begin().await.unwrap();
    if let Some(claims) = claims {
        sqlx::query("SELECT set_config('request.jwt.claims', $1, true), set_config('role', 'runtraced_reader', true)")
            .bind(claims)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let ids = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    ids
}

/// Scenario: runs of two customers, of a user's session and of nobody, each with an approval;
/// readers with keys and users with tokens ask every endpoint, streams and exports too.
/// Guarantees: each sees exactly the rows that SQL shows under the same role and claims; whoever
/// has no right sees nothing.
#[tokio::test]
async fn everybody_sees_what_the_policies_show() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let keys = tempfile::NamedTempFile::new().unwrap();
    let jwk = format!(
        "{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{}\"}}]}}",
        URL_SAFE_NO_PAD.encode(SECRET)
    );
    std::fs::write(keys.path(), jwk).unwrap();
    let args = [
        "--require-keys",
        "--jwt-keys",
        keys.path().to_str().unwrap(),
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let [a, b, csm, user, admin, stranger] = [(); 6].map(|()| new_id());
    sqlx::raw_sql(AssertSqlSafe(format!(
        "INSERT INTO users (id) VALUES ('{csm}'), ('{user}'), ('{admin}'), ('{stranger}');
         INSERT INTO runtraced_admins (user_id) VALUES ('{admin}');
         INSERT INTO customers (id, name, arr, csm_id) VALUES ('{a}', 'A', 1, '{csm}'), ('{b}', 'B', 1, NULL)"
    )))
    .execute(&mut conn)
    .await
    .unwrap();
    let key = |args: &[&str]| {
        runtraced(
            database.url(),
            &[&["keys", "create", "--name", "k"], args].concat(),
        )
    };
    let (a_text, b_text) = (a.to_string(), b.to_string());
    let everything = key(&["--read"]);
    let of_a = key(&["--read", "--customer", &a_text]);
    let of_b = key(&["--decide", "--customer", &b_text]);
    let writing = key(&[]);
    let writing_for_a = key(&["--customer", &a_text]);
    while get_as(&daemon, &of_b, "/api/runs").await.status != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let send = async |key: &str, events| {
        let client = daemon.client().await.with_key(key).unwrap();
        client.submit_committed(events).await.unwrap();
    };
    let [by_key_of_a, names_a, names_b, of_user, nobodys] = [(); 5].map(|()| new_id());
    let session = new_id();
    let run = |at: i64, run: Uuid, customer: Option<Uuid>, session: Option<Uuid>| {
        let mut events = finished(at, run, "agent", "search");
        events[0] = started_with(run_started(at, run), |start| {
            start.customer_id = customer.map(id).unwrap_or_default();
            start.session_id = session.map(id).unwrap_or_default();
        });
        events.push(approval(at + 5, run, new_id(), None));
        events
    };
    send(&writing_for_a, run(0, by_key_of_a, None, None)).await;
    let mut events = vec![event(
        0,
        Body::SessionUpsert(proto::SessionUpsert {
            session_id: id(session),
            user_id: id(user),
            ..Default::default()
        }),
    )];
    events.extend(run(1_000, names_a, Some(a), None));
    events.extend(run(2_000, names_b, Some(b), None));
    events.extend(run(3_000, of_user, None, Some(session)));
    events.extend(run(4_000, nobodys, None, None));
    send(&writing, events).await;
    let all = [by_key_of_a, names_a, names_b, of_user, nobodys];
    let claims = |customer: Uuid| format!("{{\"runtraced_customer\":\"{customer}\"}}");
    let (csm, user, admin, stranger) = (token(csm), token(user), token(admin), token(stranger));
    for (who, credential, claims, runs) in [
        ("everything", &everything, None, 5),
        ("a", &of_a, Some(claims(a)), 2),
        ("b", &of_b, Some(claims(b)), 1),
        ("csm", &csm.0, Some(csm.1), 2),
        ("user", &user.0, Some(user.1), 1),
        ("admin", &admin.0, Some(admin.1), 5),
        ("stranger", &stranger.0, Some(stranger.1), 0),
    ] {
        let claims = claims.as_deref();
        let visible = sql_ids(
            &mut conn,
            claims,
            "SELECT id::text FROM agent_runs ORDER BY started_at DESC, id DESC",
        )
        .await;
        assert_eq!(visible.len(), runs, "{who}");
        let list = get_as(&daemon, credential, "/api/runs").await;
        assert_eq!(list.ids("run_id"), visible, "{who}");
        let asked = sql_ids(
            &mut conn,
            claims,
            "SELECT id::text FROM approvals ORDER BY created_at, id",
        )
        .await;
        let queue = get_as(&daemon, credential, "/api/approvals?status=pending").await;
        assert_eq!(queue.ids("id"), asked, "{who}");
        let stats = get_as(&daemon, credential, "/api/stats?since=2026-01-01T00:00:00Z")
            .await
            .json();
        assert_eq!(stats["totals"]["runs"], visible.len(), "{who}");
        let cost = get_as(&daemon, credential, "/api/cost?since=2026-01-01T00:00:00Z")
            .await
            .json();
        assert_eq!(
            cost["rows"].as_array().unwrap().is_empty(),
            visible.is_empty(),
            "{who}"
        );
        let facets = get_as(&daemon, credential, "/api/facets").await.json();
        assert_eq!(
            facets["tools"].as_array().unwrap().is_empty(),
            visible.is_empty(),
            "{who}"
        );
        let bearer = format!("Bearer {credential}");
        let headers = [("Authorization", bearer.as_str())];
        let mut stream = Events::open(&daemon, "/api/runs/events", &headers).await;
        let rows = stream.wait_for("snapshot").await["rows"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(rows, visible.len(), "{who}");
        for run in &all {
            let expected = if visible.contains(&run.to_string()) {
                200
            } else {
                404
            };
            for path in [
                "",
                "/payload?item=run",
                "/conversation",
                "/export",
                "/events",
            ] {
                let path = format!("/api/runs/{run}{path}");
                assert_eq!(
                    get_as(&daemon, credential, &path).await.status,
                    expected,
                    "{who}: {path}"
                );
            }
            let found = get_as(
                &daemon,
                credential,
                &format!("/api/runs/{run}/find?q=search"),
            )
            .await
            .json();
            let hits = found["hits"].as_array().unwrap().len();
            assert_eq!(hits > 0, expected == 200, "{who}: find in {run}");
        }
        let expected = if visible.contains(&of_user.to_string()) {
            200
        } else {
            404
        };
        let path = format!("/api/sessions/{session}/conversation");
        assert_eq!(
            get_as(&daemon, credential, &path).await.status,
            expected,
            "{who}"
        );
        for approval in sql_ids(&mut conn, None, "SELECT id::text FROM approvals").await {
            let expected = if asked.contains(&approval) { 200 } else { 404 };
            let path = format!("/api/approvals/{approval}");
            assert_eq!(
                get_as(&daemon, credential, &path).await.status,
                expected,
                "{who}: {path}"
            );
        }
    }
    let forged = format!("{}x", user.0);
    for (who, credential, status) in [
        ("nobody", "", 401),
        ("forged", &forged, 401),
        ("writer", &writing, 403),
    ] {
        for path in [
            "/api/runs",
            "/api/stats",
            "/api/approvals",
            "/api/facets",
            "/api/cost",
            "/api/runs/events",
        ] {
            assert_eq!(
                get_as(&daemon, credential, path).await.status,
                status,
                "{who}: {path}"
            );
        }
        for path in ["", "/export", "/events", "/conversation"] {
            let path = format!("/api/runs/{names_a}{path}");
            assert_eq!(
                get_as(&daemon, credential, &path).await.status,
                status,
                "{who}: {path}"
            );
        }
    }
    // Who reads writes nothing.
    let client = daemon.client().await.with_key(&everything).unwrap();
    let refused = client.submit(vec![run_started(0, new_id())]).await;
    let Err(ClientError::Refused(status)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        post_as(&daemon, &everything, "/v1/traces", "{\"resourceSpans\":[]}")
            .await
            .status,
        403
    );
    daemon.finish().await;
}

/// Scenario: a user looks at a live list with a token that expires meanwhile, and comes again with it.
/// Guarantees: the stream ends with the token, the user is told to come again, and is then refused.
#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let database = pg::database().await;
    runtraced(database.url(), &["migrate"]);
    // The first key of a customer makes the role under which users read, too.
    let customer = new_id();
    sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)")
        .bind(customer)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let customer = customer.to_string();
    let args = ["keys", "create", "--name", "r", "--read", "--customer"];
    runtraced(database.url(), &[&args[..], &[&customer]].concat());
    let keys = tempfile::NamedTempFile::new().unwrap();
    let jwk = format!(
        "{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{}\"}}]}}",
        URL_SAFE_NO_PAD.encode(SECRET)
    );
    std::fs::write(keys.path(), jwk).unwrap();
    let args = [
        "--require-keys",
        "--jwt-keys",
        keys.path().to_str().unwrap(),
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    // Clocks may differ by a minute, so the token is good for six seconds more.
    let (token, _) = token_until(new_id(), now - 54);
    let bearer = format!("Bearer {token}");
    let path = "/api/runs/events";
    let mut list = Events::open(&daemon, path, &[("Authorization", &bearer)]).await;
    list.wait_for("snapshot").await;
    list.wait_for("resume").await;
    assert_eq!(list.next().await, None);
    assert_eq!(get_as(&daemon, &token, path).await.status, 401);
    daemon.finish().await;
}
