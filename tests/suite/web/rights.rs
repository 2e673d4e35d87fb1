//! Who reads what: the same as SQL under the same role and claims.

mod asked;
mod later;
mod world;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tonic::Code;
use uuid::Uuid;

use runtraced::client::ClientError;

use self::asked::{Question, questions};
use self::world::{Asker, Decides, RightsWorld, Sees};
use super::client::{Answer, Events, post_as, request};
use crate::support::events::{new_id, run_started};

/// The router of the web. Every route of the API must be in the matrix.
const ROUTER: &str = include_str!("../../../src/web/mod.rs");
/// What people read about the API.
const DOCS: &str = include_str!("../../../docs/API.md");

/// Methods and paths of the API.
fn routes() -> Vec<(&'static str, &'static str)> {
    let route = |text: &'static str| {
        let (_, text) = text.split_once('"')?;
        let (path, handlers) = text.split_once('"')?;
        let (method, _) = handlers.split_once('(')?;
        let method = method.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        path.starts_with("/api/").then_some((method, path))
    };
    ROUTER.split(".route(").skip(1).filter_map(route).collect()
}

fn headers_of(world: &RightsWorld, asker: &Asker) -> Vec<(&'static str, String)> {
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    if !asker.credential.is_empty() {
        headers.push(("Authorization", format!("Bearer {}", asker.credential)));
    }
    // Whoever comes from afar may still name this machine.
    let (_, port) = world.daemons[asker.daemon]
        .http_address()
        .split_once(':')
        .unwrap();
    headers.push(("Host", format!("127.0.0.1:{port}")));
    headers
}

/// A request as somebody.
async fn send(world: &RightsWorld, asker: &Asker, method: &str, path: &str, body: &str) -> Answer {
    let headers = headers_of(world, asker);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    request(&world.daemons[asker.daemon], method, path, &headers, body).await
}

async fn ask(world: &RightsWorld, asker: &Asker, path: &str) -> Answer {
    send(world, asker, "GET", path, "").await
}

/// A stream as somebody, and its first event; an error: the status.
async fn open(world: &RightsWorld, asker: &Asker, path: &str) -> Result<(Events, Value), u16> {
    let headers = headers_of(world, asker);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut stream = Events::open(&world.daemons[asker.daemon], path, &headers).await;
    let status: u16 = stream
        .line()
        .await
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    match status {
        200 => {
            let snapshot = stream.wait_for("snapshot").await;
            Ok((stream, snapshot))
        }
        other => Err(other),
    }
}

/// Status and content of the answer to a question: JSON, lines of JSON, or a stream's first event.
async fn answer(world: &RightsWorld, asker: &Asker, path: &str) -> (u16, Value) {
    if path.contains("/events") {
        return match open(world, asker, path).await {
            Ok((_, snapshot)) => (200, snapshot),
            Err(status) => (status, Value::Null),
        };
    }
    let answer = ask(world, asker, path).await;
    let content = match path.ends_with("/export") && answer.status == 200 {
        true => answer
            .body
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect(),
        false => answer.json(),
    };
    (answer.status, content)
}

/// Asks the API, and SQL as the same reader.
async fn compare(world: &RightsWorld, asker: &Asker, question: &Question) {
    let (status, content) = answer(world, asker, &question.path).await;
    let who = format!("{}: {}", asker.name, question.path);
    if let Sees::Nothing(expected) = asker.sees {
        assert_eq!(status, expected, "{who}");
        return;
    }
    let mut expected = world.sql(&asker.sees, &question.sql).await;
    if question.about_one && expected.is_empty() {
        assert_eq!(status, 404, "{who}");
        return;
    }
    assert_eq!(status, 200, "{who}: {content}");
    // So does the query that the answer shows, asked by whoever takes the same role and claims.
    if question.path.starts_with("/api/runs?") {
        let shown = content["sql"].as_str().unwrap();
        let ids = format!("SELECT q.run_id::text FROM ({shown}) AS q");
        assert_eq!(
            world.sql(&asker.sees, &ids).await,
            (question.told)(&content),
            "{who}"
        );
    }
    let mut told = (question.told)(&content);
    expected.sort();
    told.sort();
    assert_eq!(told, expected, "{who}");
}

/// Whether somebody sees a row of a table.
async fn sees(world: &RightsWorld, sees: &Sees, table: &str, id: Uuid) -> bool {
    let query = format!("SELECT id::text FROM {table} WHERE id = '{id}'");
    !world.sql(sees, &query).await.is_empty()
}

/// Every payload of every run.
async fn payloads(world: &RightsWorld, asker: &Asker) {
    for (item, table, run) in [
        ("run", "agent_runs", "id"),
        ("step", "agent_steps", "run_id"),
        ("message", "agent_messages", "run_id"),
        ("approval", "approvals", "run_id"),
        ("score", "agent_scores", "run_id"),
    ] {
        let all = format!("SELECT id || ' ' || {run} FROM {table}");
        for pair in world.sql(&Sees::Everything, &all).await {
            let (id, run) = pair.split_once(' ').unwrap();
            let question = Question {
                path: format!("/api/runs/{run}/payload?item={item}&id={id}"),
                sql: format!("SELECT id::text FROM {table} WHERE id = '{id}'"),
                told: |answer| vec![answer["id"].as_str().unwrap().to_owned()],
                about_one: true,
            };
            compare(world, asker, &question).await;
        }
    }
}

/// Every approval, also with a wait. A writing key is told the decision, and no more.
async fn single_approvals(world: &RightsWorld, asker: &Asker) {
    for one in &world.runs {
        for wait in ["", "?wait=1s"] {
            // Pending ones make everybody wait.
            if !wait.is_empty() && one.word != world.runs[0].word {
                continue;
            }
            let path = format!("/api/approvals/{}{wait}", one.approval);
            let Some(agent) = &asker.agent else {
                let question = Question {
                    path,
                    sql: format!(
                        "SELECT id::text FROM approvals WHERE id = '{}'",
                        one.approval
                    ),
                    told: |answer| vec![answer["approval"]["id"].as_str().unwrap().to_owned()],
                    about_one: true,
                };
                compare(world, asker, &question).await;
                continue;
            };
            let answer = ask(world, asker, &path).await;
            let is_theirs = sees(world, agent, "approvals", one.approval).await;
            assert_eq!(
                answer.status,
                if is_theirs { 200 } else { 404 },
                "{}: {path}",
                asker.name
            );
            if is_theirs {
                let approval = &answer.json()["approval"];
                let told: Vec<_> = approval.as_object().unwrap().keys().cloned().collect();
                let decision = [
                    "decided_at",
                    "expires_at",
                    "id",
                    "notes",
                    "overdue",
                    "status",
                ];
                assert_eq!(told, decision, "{}", asker.name);
            }
        }
    }
}

async fn me(world: &RightsWorld, asker: &Asker) {
    let me = ask(world, asker, "/api/me").await;
    assert_eq!(
        (me.status, &me.json()["reader"]),
        (200, &asker.reader.into()),
        "{}",
        asker.name
    );
    let may = &me.json()["may"];
    let reads = !matches!(asker.sees, Sees::Nothing(_));
    let decides = asker.decides != Decides::Never;
    assert_eq!(
        *may,
        json!({ "read": reads, "decide": decides }),
        "{}",
        asker.name
    );
}

/// What sets role and claims in psql sets those of the reader.
async fn shows_as_whom(world: &RightsWorld, asker: &Asker) {
    let me = ask(world, asker, "/api/me").await.json();
    let Sees::Claims(claims) = &asker.sees else {
        assert_eq!(me["sql_as"], Value::Null, "{}", asker.name);
        return;
    };
    let mut conn = world.database.connect().await;
    let sql = me["sql_as"].as_str().unwrap().to_owned();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut conn)
        .await
        .unwrap();
    let set = "SELECT current_user::text, current_setting('request.jwt.claims')";
    let (role, set): (String, String) = sqlx::query_as(set).fetch_one(&mut conn).await.unwrap();
    assert_eq!(
        (role.as_str(), &set),
        ("runtraced_reader", claims),
        "{}",
        asker.name
    );
}

async fn log_in(world: &RightsWorld, asker: &Asker) {
    let body = json!({ "key": asker.credential }).to_string();
    let answer = send(world, asker, "POST", "/api/login", &body).await;
    let expected = if asker.logs_in { 204 } else { 401 };
    assert_eq!(answer.status, expected, "{}", asker.name);
    assert_eq!(
        answer.head.contains("set-cookie"),
        asker.logs_in,
        "{}",
        asker.name
    );
}

/// Whether a user may decide by the policies of the tables.
async fn policies_let_decide(world: &RightsWorld, claims: &Sees, approval: Uuid) -> bool {
    let decide = format!(
        "UPDATE approvals SET status = 'approved', decided_at = now() WHERE id = '{approval}' RETURNING id::text"
    );
    world
        .tried(claims, &decide)
        .await
        .is_ok_and(|rows| !rows.is_empty())
}

/// Decides a new approval of every run.
async fn decide(world: &RightsWorld, asker: &Asker) {
    for one in &world.runs {
        let approval = new_id();
        let insert = format!(
            "INSERT INTO approvals (id, run_id, action_type, action_data, status, created_at)
             VALUES ('{approval}', '{}', 'send', '{{\"to\":\"x\"}}', 'pending', now())",
            one.run
        );
        world.execute(&insert).await;
        let is_seen = sees(world, &asker.sees, "approvals", approval).await;
        let expected = match (&asker.sees, asker.decides) {
            (Sees::Nothing(status), _) => *status,
            (_, Decides::Never) => 403,
            _ if !is_seen => 404,
            (_, Decides::WhatTheySee) => 200,
            (claims, Decides::AsPolicies) => {
                match policies_let_decide(world, claims, approval).await {
                    true => 200,
                    false => 403,
                }
            }
        };
        let reader = world
            .askers
            .iter()
            .find(|asker| asker.name == "reader")
            .unwrap();
        let path = format!("/api/approvals/{approval}");
        let shown = ask(world, reader, &path).await.json()["approval"]["revision"].take();
        let body = json!({ "decision": "rejected", "shown": shown }).to_string();
        let answer = send(world, asker, "POST", &format!("{path}/decision"), &body).await;
        assert_eq!(
            answer.status, expected,
            "{}: {}: {answer:?}",
            asker.name, one.word
        );
        let stored = format!("SELECT status FROM approvals WHERE id = '{approval}'");
        let status = if expected == 200 {
            "rejected"
        } else {
            "pending"
        };
        assert_eq!(
            world.sql(&Sees::Everything, &stored).await,
            [status],
            "{}",
            asker.name
        );
    }
}

/// Scenario: runs of two customers, of a user's session and of nobody, some below others, each with a
/// word of its own in everything that it has. Everybody whom there is, with every kind of key and token
/// and without any, on loopback and beyond, asks every endpoint of the API.
/// Guarantees: each is told exactly what SQL tells under the same role and claims, and may decide what the
/// policies let them; whoever has no right is told nothing. A route that is not in this matrix fails.
#[tokio::test]
async fn everybody_is_told_what_the_policies_show() {
    let world = RightsWorld::new().await;
    let routes = routes();
    assert!(routes.len() >= 18, "{routes:?}");
    for (method, route) in &routes {
        let documented = route.replace("{id}", "ID");
        let method_in_docs = method.to_uppercase();
        assert!(
            DOCS.contains(&format!("{method_in_docs} {documented}")),
            "{route} is not in API.md"
        );
        for asker in &world.askers {
            match (*method, *route) {
                ("get", "/api/me") => {
                    me(&world, asker).await;
                    shows_as_whom(&world, asker).await;
                }
                ("post", "/api/login") => log_in(&world, asker).await,
                ("post", "/api/logout") => {
                    let answer = send(&world, asker, "POST", route, "{}").await;
                    assert_eq!(answer.status, 204, "{}", asker.name);
                }
                ("get", "/api/runs/{id}/payload") => payloads(&world, asker).await,
                ("get", "/api/approvals/{id}") => single_approvals(&world, asker).await,
                // Behind all the others: it adds approvals.
                ("post", "/api/approvals/{id}/decision") => {}
                ("get", _) => {
                    let questions = questions(&world, route);
                    let questions =
                        questions.unwrap_or_else(|| panic!("{route} is not in the matrix"));
                    for question in &questions {
                        compare(&world, asker, question).await;
                    }
                }
                other => panic!("{other:?} is not in the matrix"),
            }
        }
    }
    // As the role of users has on Supabase.
    world
        .execute("GRANT UPDATE ON approvals TO runtraced_reader")
        .await;
    for asker in &world.askers {
        decide(&world, asker).await;
    }
    // Who reads writes nothing.
    let reader = world
        .askers
        .iter()
        .find(|asker| asker.name == "decider")
        .unwrap();
    let client = world.daemons[0]
        .client()
        .await
        .with_key(&reader.credential)
        .unwrap();
    let refused = client.submit(vec![run_started(0, new_id())]).await;
    let Err(ClientError::Refused(status)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(status.code(), Code::PermissionDenied);
    let otlp = "{\"resourceSpans\":[]}";
    let answer = post_as(&world.daemons[0], &reader.credential, "/v1/traces", otlp).await;
    assert_eq!(answer.status, 403);
    world.finish().await;
}
