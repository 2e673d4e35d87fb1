//! What every endpoint that reads is asked, and the same question in SQL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use uuid::Uuid;

use super::world::{RightsWorld, Traced};

/// What an answer tells, as texts. Their order does not count.
pub type Told = fn(&Value) -> Vec<String>;

/// A question to the API, and to SQL.
pub struct Question {
    pub path: String,
    /// Its rows are what the answer must tell.
    pub sql: String,
    pub told: Told,
    /// Whether an answer that tells nothing is 404.
    pub about_one: bool,
}

fn about(path: impl Into<String>, sql: impl Into<String>, told: Told) -> Question {
    Question {
        path: path.into(),
        sql: sql.into(),
        told,
        about_one: false,
    }
}

fn about_one(path: impl Into<String>, sql: impl Into<String>, told: Told) -> Question {
    Question {
        about_one: true,
        ..about(path, sql, told)
    }
}

fn texts(rows: &Value, column: &str) -> Vec<String> {
    let rows = rows
        .as_array()
        .unwrap_or_else(|| panic!("{rows} is no list"));
    let text = |row: &Value| match &row[column] {
        Value::String(text) => text.clone(),
        other => panic!("{column} is {other}"),
    };
    rows.iter().map(text).collect()
}

fn under(name: &str, texts: Vec<String>) -> Vec<String> {
    texts.iter().map(|text| format!("{name} {text}")).collect()
}

fn run_ids(answer: &Value) -> Vec<String> {
    texts(&answer["rows"], "run_id")
}

fn found(answer: &Value) -> Vec<String> {
    texts(&answer["hits"], "id")
}

/// The ids of rows by columns: 22 characters each.
fn column_ids(rows: &Value) -> Vec<String> {
    let ids = rows["ids"].as_str().unwrap().as_bytes();
    let id = |text: &[u8]| {
        Uuid::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap())
            .unwrap()
            .to_string()
    };
    ids.chunks(22).map(id).collect()
}

/// A run with its rows and what surrounds it.
fn skeleton(answer: &Value) -> Vec<String> {
    let mut told = vec![format!("run {}", answer["run"]["run_id"].as_str().unwrap())];
    told.extend(under("row", column_ids(&answer["rows"])));
    for list in ["children", "siblings"] {
        told.extend(under(list, texts(&answer[list], "run_id")));
    }
    for (one, id) in [("parent", "run_id"), ("session", "session_id")] {
        if let Some(id) = answer[one][id].as_str() {
            told.push(format!("{one} {id}"));
        }
    }
    told
}

fn digests(answer: &Value) -> Vec<String> {
    let digests = answer["digests"].as_object().unwrap();
    let id = |text: &String| {
        Uuid::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap())
            .unwrap()
            .to_string()
    };
    digests.keys().map(id).collect()
}

fn conversation(answer: &Value) -> Vec<String> {
    let mut told = under("message", texts(&answer["rows"], "id"));
    told.push("there".to_owned());
    if !answer["runs"].is_null() {
        told.extend(under("run", texts(&answer["runs"], "run_id")));
    }
    told
}

/// The id of what each event of an export makes.
fn exported(events: &Value) -> Vec<String> {
    let ids = [
        "messageId",
        "tokenCountId",
        "scoreId",
        "approvalId",
        "stepId",
        "runId",
        "sessionId",
    ];
    let id = |event: &Value| {
        let event = event.as_object().unwrap();
        let body = event.iter().find(|(name, _)| *name != "time").unwrap().1;
        let id = ids.iter().find_map(|id| body[id].as_str()).unwrap();
        id.to_owned()
    };
    events.as_array().unwrap().iter().map(id).collect()
}

fn approvals(answer: &Value) -> Vec<String> {
    let mut told = texts(&answer["rows"], "id");
    told.push(format!("{} pending", answer["pending"]));
    told
}

fn facets(answer: &Value) -> Vec<String> {
    let mut told = under("customer", texts(&answer["customers"], "id"));
    for name in ["agents", "models", "tools", "tags"] {
        for value in answer[name].as_array().unwrap() {
            told.push(format!("{name} {}", value.as_str().unwrap()));
        }
    }
    told
}

fn stats(answer: &Value) -> Vec<String> {
    let mut told = vec![format!("{} runs", answer["totals"]["runs"])];
    for (list, name) in [
        ("agents", "agent_id"),
        ("models", "model"),
        ("tools", "name"),
    ] {
        told.extend(under(list, texts(&answer[list], name)));
    }
    told
}

/// Keys, models without a price, and costs in millionths of a dollar.
fn costs(answer: &Value) -> Vec<String> {
    let rows = answer["rows"].as_array().unwrap();
    let row = |row: &Value| {
        let cost = row["cost_usd"].as_f64().unwrap();
        format!(
            "{} {:.0}",
            row["key"].as_str().unwrap_or("none"),
            cost * 1e6
        )
    };
    rows.iter().map(row).collect()
}

/// The questions to an endpoint; `None`: it is not asked like this.
pub fn questions(world: &RightsWorld, route: &str) -> Option<Vec<Question>> {
    let each_run =
        |ask: &dyn Fn(&Traced) -> Vec<Question>| world.runs.iter().flat_map(ask).collect();
    Some(match route {
        "/api/runs" => lists(world),
        "/api/runs/events" => {
            vec![about("/api/runs/events", "SELECT id::text FROM agent_runs", run_ids)]
        }
        "/api/facets" => vec![about(route, FACETS, facets)],
        "/api/stats" => vec![about("/api/stats?since=2026-01-01T00:00:00Z", STATS, stats)],
        "/api/cost" => cost_questions(),
        "/api/runs/{id}" => each_run(&|one| {
            let run = one.run;
            let steps = format!("SELECT id::text FROM agent_steps WHERE run_id = '{run}'");
            vec![
                about_one(format!("/api/runs/{run}"), whole_run(run), skeleton),
                about_one(format!("/api/runs/{run}?digests=1"), steps, digests),
            ]
        }),
        "/api/runs/{id}/events" => each_run(&|one| {
            vec![about_one(format!("/api/runs/{}/events", one.run), whole_run(one.run), skeleton)]
        }),
        "/api/runs/{id}/find" => each_run(&|one| {
            let run = one.run;
            let sql = format!("SELECT id::text FROM agent_messages WHERE run_id = '{run}' AND content LIKE '%giraffe%'");
            vec![about(format!("/api/runs/{run}/find?q=giraffe"), sql, found)]
        }),
        "/api/runs/{id}/conversation" => each_run(&|one| {
            let run = one.run;
            let sql = format!(
                "SELECT 'there' FROM agent_runs WHERE id = '{run}' \
                 UNION ALL SELECT 'message ' || id FROM agent_messages WHERE run_id = '{run}'"
            );
            vec![about_one(format!("/api/runs/{run}/conversation"), sql, conversation)]
        }),
        "/api/runs/{id}/export" => each_run(&|one| {
            vec![about_one(format!("/api/runs/{}/export", one.run), export_of(one.run), exported)]
        }),
        "/api/sessions/{id}/conversation" => {
            world.sessions.iter().map(|session| session_question(*session)).collect()
        }
        "/api/approvals" => ["", "?status=pending", "?status=approved&status=rejected"]
            .into_iter()
            .map(|filter| {
                let only = match filter {
                    "" => "true",
                    "?status=pending" => "status = 'pending'",
                    _ => "status IN ('approved', 'rejected')",
                };
                let sql = format!(
                    "SELECT id::text FROM approvals WHERE {only} \
                     UNION ALL SELECT count(*) || ' pending' FROM approvals WHERE status = 'pending'"
                );
                about(format!("/api/approvals{filter}"), sql, approvals)
            })
            .collect(),
        _ => return None,
    })
}

fn lists(world: &RightsWorld) -> Vec<Question> {
    let [a, b] = world.customers;
    let parent = world.runs[1].run;
    let (session, user) = (world.sessions[1], world.user);
    let mut questions: Vec<Question> = [
        (String::new(), "true".to_owned()),
        ("?sort=cost".into(), "true".into()),
        ("?sort=duration&order=asc".into(), "true".into()),
        (
            "?limit=200&since=2026-01-01T00:00:02Z".into(),
            "started_at >= '2026-01-01T00:00:02Z'".into(),
        ),
        (format!("?customer={a}"), format!("customer_id = '{a}'")),
        (format!("?customer={b}"), format!("customer_id = '{b}'")),
        (
            format!("?session={session}"),
            format!("session_id = '{session}'"),
        ),
        (
            format!("?parent={parent}"),
            format!("parent_run_id = '{parent}'"),
        ),
        (
            format!("?user={user}"),
            format!("session_id IN (SELECT id FROM agent_sessions WHERE user_id = '{user}')"),
        ),
        (
            "?q=giraffe".into(),
            "id IN (SELECT run_id FROM agent_messages WHERE content LIKE '%giraffe%')".into(),
        ),
    ]
    .into_iter()
    .map(|(filter, only)| {
        let sql = format!("SELECT id::text FROM agent_runs WHERE {only}");
        about(format!("/api/runs{filter}"), sql, run_ids)
    })
    .collect();
    for Traced { run, word, .. } in &world.runs {
        for filter in ["q", "agent", "tool", "model", "tag", "meta.team"] {
            let (filter, value) = match filter {
                "tag" => (filter, format!("t-{word}")),
                _ => (filter, (*word).to_owned()),
            };
            let sql = format!("SELECT id::text FROM agent_runs WHERE id = '{run}'");
            questions.push(about(format!("/api/runs?{filter}={value}"), sql, run_ids));
        }
    }
    questions
}

const FACETS: &str = "
SELECT DISTINCT 'agents ' || agent_id FROM agent_runs
UNION ALL SELECT DISTINCT 'customer ' || customer_id FROM agent_runs WHERE customer_id IS NOT NULL
UNION ALL SELECT DISTINCT 'tags ' || jsonb_array_elements_text(metadata -> 'tags') FROM agent_runs
UNION ALL SELECT DISTINCT 'models ' || model FROM agent_steps WHERE model IS NOT NULL
UNION ALL SELECT DISTINCT 'tools ' || name FROM agent_steps WHERE step_type = 'tool_call'";

const STATS: &str = "
SELECT count(*) || ' runs' FROM agent_runs
UNION ALL SELECT DISTINCT 'agents ' || agent_id FROM agent_runs
UNION ALL SELECT DISTINCT 'models ' || model FROM agent_token_counts
UNION ALL SELECT DISTINCT 'tools ' || name FROM agent_steps WHERE step_type = 'tool_call'";

fn cost_questions() -> Vec<Question> {
    [
        ("agent", "r.agent_id"),
        ("model", "c.model"),
        ("session", "r.session_id::text"),
        ("customer", "r.customer_id::text"),
        ("user", "s.user_id::text"),
        ("day", "r.started_at::date::text"),
    ]
    .into_iter()
    .map(|(by, key)| {
        let sql = format!(
            "SELECT coalesce({key}, 'none') || ' ' || round(sum(c.cost_usd) * 1000000) \
             FROM agent_runs AS r JOIN agent_token_costs AS c ON c.run_id = r.id \
             LEFT JOIN agent_sessions AS s ON s.id = r.session_id GROUP BY {key}"
        );
        about(
            format!("/api/cost?by={by}&since=2026-01-01T00:00:00Z"),
            sql,
            costs,
        )
    })
    .collect()
}

fn whole_run(run: Uuid) -> String {
    let of_run = |column: &str| format!("(SELECT {column} FROM agent_runs WHERE id = '{run}')");
    let (parent, session) = (of_run("parent_run_id"), of_run("session_id"));
    format!(
        "SELECT told FROM agent_runs AS r CROSS JOIN LATERAL (
           SELECT 'run ' || r.id AS told
           UNION ALL SELECT 'row ' || id FROM run_timeline WHERE run_id = r.id AND item <> 'tokens'
           UNION ALL SELECT 'children ' || id FROM agent_runs WHERE parent_run_id = r.id
           UNION ALL SELECT 'siblings ' || id FROM agent_runs WHERE parent_run_id = {parent} AND id <> r.id
           UNION ALL SELECT 'parent ' || id FROM agent_runs WHERE id = {parent}
           UNION ALL SELECT 'session ' || id FROM agent_sessions WHERE id = {session}
         ) AS t WHERE r.id = '{run}'"
    )
}

fn export_of(run: Uuid) -> String {
    let all = [
        "agent_steps",
        "agent_messages",
        "agent_token_counts",
        "agent_scores",
        "approvals",
    ];
    let parts =
        all.map(|table| format!("UNION ALL SELECT id FROM {table} WHERE run_id = '{run}' "));
    format!(
        "SELECT id::text FROM (
           SELECT s.id FROM agent_sessions AS s JOIN agent_runs AS r ON r.session_id = s.id WHERE r.id = '{run}'
           UNION ALL SELECT id FROM agent_runs WHERE id = '{run}'
           UNION ALL SELECT id FROM agent_runs WHERE id = '{run}' AND status <> 'running'
           UNION ALL SELECT id FROM approvals WHERE run_id = '{run}' AND status <> 'pending'
           {}) AS e",
        parts.concat()
    )
}

fn session_question(session: Uuid) -> Question {
    let runs = format!("SELECT id FROM agent_runs WHERE session_id = '{session}'");
    let sql = format!(
        "SELECT 'there' FROM agent_sessions WHERE id = '{session}'
         UNION SELECT 'there' FROM agent_runs WHERE session_id = '{session}'
         UNION ALL SELECT 'run ' || id FROM ({runs}) AS r
         UNION ALL SELECT 'message ' || id FROM agent_messages WHERE session_id = '{session}' OR run_id IN ({runs})"
    );
    about_one(
        format!("/api/sessions/{session}/conversation"),
        sql,
        conversation,
    )
}
