//! Traces of two customers, of a user and of nobody, and everybody who may ask for them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event};

use super::super::{approval, finished, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{event, id, message, new_id, score, started_with};
use crate::support::pg::{self, TestDatabase};

const SECRET: &[u8] = b"a secret of thirty-two bytes ....";
/// Never, in seconds since 1970.
const NO_END: u64 = 99_999_999_999;

/// A token with these claims, signed with a secret.
fn signed(claims: &str, secret: &[u8]) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let text = format!("{}.{}", part("{\"alg\":\"HS256\"}"), part(claims));
    let sign = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign))
}

/// A token of a user, as Supabase issues it, and its claims.
pub fn token(user: Uuid, end: u64, more: &str) -> (String, String) {
    let claims = format!("{{\"sub\":\"{user}\",\"role\":\"authenticated\",\"exp\":{end}{more}}}");
    (signed(&claims, SECRET), claims)
}

/// The file with the keys of tokens.
pub fn key_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = URL_SAFE_NO_PAD.encode(SECRET);
    let set = format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{key}\"}}]}}");
    std::fs::write(file.path(), set).unwrap();
    file
}

/// As whom SQL is asked for comparison.
#[derive(Clone, Debug)]
pub enum Sees {
    /// The owner of the tables.
    Everything,
    /// The role of readers with these claims.
    Claims(String),
    /// Nobody: every request gets this status.
    Nothing(u16),
}

/// What a decision of somebody depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decides {
    /// The right is missing.
    Never,
    /// Whatever they see.
    WhatTheySee,
    /// What the policies let a user update.
    AsPolicies,
}

/// Somebody who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    pub name: &'static str,
    /// Which of the daemons.
    pub daemon: usize,
    /// A key or a token; empty: nothing.
    pub credential: String,
    pub sees: Sees,
    pub decides: Decides,
    /// `reader` of `/api/me`.
    pub reader: &'static str,
    /// Whether the credential is a key for the page.
    pub logs_in: bool,
    /// Of a writing key: whose approvals it may ask about.
    pub agent: Option<Sees>,
}

impl Asker {
    fn new(name: &'static str, credential: &str, sees: Sees, reader: &'static str) -> Self {
        Self {
            name,
            daemon: 0,
            credential: credential.to_owned(),
            sees,
            decides: Decides::Never,
            reader,
            logs_in: false,
            agent: None,
        }
    }

    fn at(mut self, daemon: usize) -> Self {
        self.daemon = daemon;
        self
    }

    fn decides(mut self, decides: Decides) -> Self {
        self.decides = decides;
        self
    }

    fn with_key(mut self) -> Self {
        self.logs_in = true;
        self
    }

    fn writes(mut self, of: Sees) -> Self {
        self.agent = Some(of);
        self
    }
}

/// One run with everything that a run can have.
pub struct Traced {
    pub run: Uuid,
    pub approval: Uuid,
    /// A word that only this run holds.
    pub word: &'static str,
}

pub struct RightsWorld {
    pub database: TestDatabase,
    owner: Mutex<PgConnection>,
    /// With keys; on loopback without; beyond loopback.
    pub daemons: [Daemon; 3],
    pub askers: Vec<Asker>,
    pub runs: Vec<Traced>,
    pub sessions: [Uuid; 2],
    pub customers: [Uuid; 2],
    pub user: Uuid,
    /// Writes for everybody.
    pub writer: String,
    _keys: tempfile::NamedTempFile,
}

/// A run with a word of its own as agent, tool, model, tag and message.
pub fn traced(at: i64, one: &Traced, change: impl FnOnce(&mut proto::RunStarted)) -> Vec<Event> {
    let Traced { run, word, .. } = *one;
    let mut events = finished(at, run, word, word);
    events[0] = started_with(events[0].clone(), change);
    let mut said = message(at + 21, Some(run), None, new_id());
    if let Some(Body::MessageAppended(said)) = &mut said.event {
        said.content = Some(format!("everybody says giraffe, and one says {word}"));
    }
    for event in &mut events {
        match &mut event.event {
            Some(Body::TokenCount(count)) => count.model = Some(word.to_owned()),
            Some(Body::StepEnded(step)) => {
                step.details.as_mut().unwrap().model = Some(word.to_owned());
            }
            _ => {}
        }
    }
    events.extend([said, score(at + 40, run, new_id(), 0.5)]);
    events.push(approval(at + 50, run, one.approval, None));
    events
}

impl RightsWorld {
    pub async fn new() -> Self {
        let database = pg::database().await;
        let keys = key_file();
        let file = keys.path().to_str().unwrap().to_owned();
        let with_keys = ["--require-keys", "--jwt-keys", &file];
        let beyond = [
            "--http-listen",
            "0.0.0.0:0",
            "--require-keys",
            "--jwt-keys",
            &file,
        ];
        let mut daemons = [
            Daemon::with_args(database.url(), &with_keys).await,
            Daemon::with_args(database.url(), &["--jwt-keys", &file]).await,
            Daemon::with_args(database.url(), &beyond).await,
        ];
        daemons[2].expect_warnings("accepting keys without TLS beyond loopback");
        let people = [(); 4].map(|()| new_id());
        let customers = [(); 2].map(|()| new_id());
        tell_people(&mut database.connect().await, people, customers).await;
        let key = |args: &[&str]| {
            let create = ["keys", "create", "--name", "k"];
            runtraced(database.url(), &[&create[..], args].concat())
        };
        let [a, b] = customers.map(|customer| customer.to_string());
        let writer = key(&[]);
        let writer_for_a = key(&["--customer", &a]);
        let mut world = Self {
            askers: askers(&key, [&a, &b], people, [&writer, &writer_for_a]),
            runs: ["zebra", "okapi", "gnu", "ibis", "tapir"]
                .map(|word| Traced {
                    run: new_id(),
                    approval: new_id(),
                    word,
                })
                .into(),
            sessions: [(); 2].map(|()| new_id()),
            user: people[1],
            owner: Mutex::new(database.connect().await),
            database,
            daemons,
            customers,
            writer,
            _keys: keys,
        };
        // The last key works once the daemons know it.
        for asker in world.askers.iter().filter(|asker| asker.logs_in) {
            while super::ask(&world, asker, "/api/runs").await.status != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        let revoked = world
            .askers
            .iter()
            .find(|asker| asker.name == "revoked key");
        let revoked = revoked.unwrap().clone();
        let id = revoked.credential.split('_').nth(1).unwrap().to_owned();
        runtraced(world.database.url(), &["keys", "revoke", &id]);
        while super::ask(&world, &revoked, "/api/runs").await.status != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        world.trace(&writer_for_a).await;
        world
            .askers
            .iter_mut()
            .for_each(|asker| asker.logs_in &= asker.name != "revoked key");
        world
    }

    /// Sends traces with a key.
    pub async fn send(&self, key: &str, events: Vec<Event>) {
        let client = self.daemons[0].client().await.with_key(key).unwrap();
        client.submit_committed(events).await.unwrap();
    }

    async fn trace(&self, writer_for_a: &str) {
        let [of_key, of_a, of_b, of_user, nobodys] = &self.runs[..] else {
            panic!("five runs");
        };
        let [a, b] = self.customers.map(id);
        let sessions = self.sessions.map(id);
        self.send(writer_for_a, traced(0, of_key, |_| {})).await;
        let session =
            |session: &bytes::Bytes, user: Option<Uuid>, customer: Option<&bytes::Bytes>| {
                event(
                    0,
                    Body::SessionUpsert(proto::SessionUpsert {
                        session_id: session.clone(),
                        user_id: user.map(id).unwrap_or_default(),
                        customer_id: customer.cloned().unwrap_or_default(),
                        ..Default::default()
                    }),
                )
            };
        let mut events = vec![
            session(&sessions[0], Some(self.user), None),
            session(&sessions[1], None, Some(&a)),
        ];
        events.extend(traced(1_000, of_a, |start| {
            start.customer_id = a.clone();
            start.session_id = sessions[1].clone();
        }));
        // A run of one customer below a run of another, beside one of nobody.
        events.extend(traced(2_000, of_b, |start| {
            start.customer_id = b;
            start.parent_run_id = id(of_a.run);
        }));
        events.extend(traced(3_000, of_user, |start| {
            start.session_id = sessions[0].clone()
        }));
        events.extend(traced(4_000, nobodys, |start| {
            start.parent_run_id = id(of_a.run)
        }));
        self.send(&self.writer, events).await;
        let url = self.database.url();
        for one in &self.runs {
            let price = ["prices", "set", one.word, "--input", "2", "--output", "8"];
            runtraced(url, &price);
        }
    }

    /// The first column of a query's rows, as text, asked as somebody.
    pub async fn sql(&self, sees: &Sees, query: &str) -> Vec<String> {
        let rows = self.tried(sees, query).await;
        rows.unwrap_or_else(|error| panic!("{error}: {query}"))
    }

    /// The same for what may be refused. Nothing of it stays.
    pub async fn tried(&self, sees: &Sees, query: &str) -> Result<Vec<String>, sqlx::Error> {
        let mut conn = self.owner.lock().await;
        let mut tx = conn.begin().await.unwrap();
        match sees {
            Sees::Everything => {}
            Sees::Nothing(_) => return Ok(Vec::new()),
            Sees::Claims(claims) => {
                sqlx::query("SELECT set_config('request.jwt.claims', $1, true), set_config('role', 'runtraced_reader', true)")
                    .bind(claims)
                    .execute(&mut *tx)
                    .await
                    .unwrap();
            }
        }
        let rows = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_all(&mut *tx)
            .await;
        tx.rollback().await.unwrap();
        rows
    }

    /// Runs statements as the owner.
    pub async fn execute(&self, statements: &str) {
        let statements = AssertSqlSafe(statements.to_owned());
        let mut conn = self.owner.lock().await;
        sqlx::raw_sql(statements).execute(&mut *conn).await.unwrap();
    }

    pub async fn finish(self) {
        for daemon in self.daemons {
            daemon.finish().await;
        }
    }
}

async fn tell_people(conn: &mut PgConnection, people: [Uuid; 4], customers: [Uuid; 2]) {
    let ([csm, user, admin, stranger], [a, b]) = (people, customers);
    sqlx::raw_sql(AssertSqlSafe(format!(
        "INSERT INTO users (id) VALUES ('{csm}'), ('{user}'), ('{admin}'), ('{stranger}');
         INSERT INTO runtraced_admins (user_id) VALUES ('{admin}');
         INSERT INTO customers (id, name, arr, csm_id) VALUES ('{a}', 'A', 1, '{csm}'), ('{b}', 'B', 1, NULL)"
    )))
    .execute(conn)
    .await
    .unwrap();
}

fn askers(
    key: &dyn Fn(&[&str]) -> String,
    [a, b]: [&String; 2],
    [csm, user, admin, stranger]: [Uuid; 4],
    [writer, writer_for_a]: [&String; 2],
) -> Vec<Asker> {
    use Decides::{AsPolicies, WhatTheySee};
    use Sees::{Claims, Everything, Nothing};
    let of = |customer: &str| Claims(format!("{{\"runtraced_customer\":\"{customer}\"}}"));
    let named = |name, user, more: &str| {
        let (token, claims) = token(user, NO_END, more);
        Asker::new(name, &token, Claims(claims), "user").decides(AsPolicies)
    };
    let refused = |name, token: &str| Asker::new(name, token, Nothing(401), "none");
    let claim = format!(",\"runtraced_customer\":\"{b}\"");
    let public = format!("{{\"sub\":\"{admin}\",\"role\":\"anon\",\"exp\":{NO_END}}}");
    let endless = format!("{{\"sub\":\"{admin}\",\"role\":\"authenticated\"}}");
    let forged = format!("{{\"sub\":\"{admin}\",\"role\":\"authenticated\",\"exp\":{NO_END}}}");
    vec![
        Asker::new("the user of the machine", "", Everything, "all")
            .at(1)
            .decides(WhatTheySee),
        refused("anonymous with keys required", ""),
        refused("anonymous beyond loopback", "").at(2),
        Asker::new("reader", &key(&["--read"]), Everything, "all").with_key(),
        Asker::new(
            "reader beyond loopback",
            &key(&["--read"]),
            Everything,
            "all",
        )
        .with_key()
        .at(2),
        Asker::new(
            "reader of A",
            &key(&["--read", "--customer", a]),
            of(a),
            "customer",
        )
        .with_key(),
        Asker::new(
            "reader of B",
            &key(&["--read", "--customer", b]),
            of(b),
            "customer",
        )
        .with_key(),
        Asker::new("decider", &key(&["--decide"]), Everything, "all")
            .with_key()
            .decides(WhatTheySee),
        Asker::new(
            "decider of B",
            &key(&["--decide", "--customer", b]),
            of(b),
            "customer",
        )
        .with_key()
        .decides(WhatTheySee),
        named("customer success manager of A", csm, ""),
        named("user", user, ""),
        named("admin", admin, ""),
        named("stranger", stranger, ""),
        named("token with a customer", stranger, &claim),
        refused(
            "forged token",
            &signed(&forged, b"another secret of thirty-two ..."),
        ),
        refused("public token", &signed(&public, SECRET)),
        refused("token without an end", &signed(&endless, SECRET)),
        refused("expired token", &token(admin, 1_000, "").0),
        Asker::new("writer", writer, Nothing(403), "none").writes(Everything),
        Asker::new("writer for A", writer_for_a, Nothing(403), "none").writes(of(a)),
        // Until it is revoked, it reads as any other.
        refused("revoked key", &key(&["--read"])).with_key(),
    ]
}
