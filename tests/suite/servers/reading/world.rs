//! The same events in one database, and spread over two servers.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use runtraced::store::server_of;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, details, ended_with, event, id, message, new_id, run_ended, run_started,
    started_with, step, tokens,
};
use crate::support::pg::{self, TestDatabase};
use crate::support::servers::{TestStore, id_on, store};
use crate::web::runtraced;

/// Two customers.
pub const CUSTOMERS: [Uuid; 2] = [Uuid::from_u128(0xa1), Uuid::from_u128(0xa2)];
/// Servers of the store.
const SERVERS: usize = 2;
/// Runs of the world.
const RUNS: usize = 40;

/// A daemon over one database, and one over two servers.
pub struct World {
    pub daemons: [Daemon; 2],
    /// Of everybody, and of the first customer: a key for each daemon. Empty: the operator needs none.
    pub keys: Vec<[String; 2]>,
    pub runs: Vec<Uuid>,
    pub parent: Uuid,
    pub session: Uuid,
    /// That wait for a decision, on each server at least one.
    pub approvals: Vec<Uuid>,
    whole: TestDatabase,
    spread: TestStore,
}

/// One finished run, which differs from the others in everything that is listed.
fn run_events(number: usize, run: Uuid, parent: Option<Uuid>, session: Option<Uuid>) -> Vec<Event> {
    let i = i64::try_from(number).unwrap();
    // Some runs start at the same time.
    let start = (i / 3) * 300_000;
    let length = 1_000 + i * i * 37 % 5_000;
    let agent = ["writer", "reader", "planner"][number % 3];
    let mut called = step(start + 10, start + 10 + length / 2, run, new_id());
    if let Some(Body::StepEnded(ended)) = &mut called.event {
        ended.details = Some(proto::StepDetails {
            name: Some(["search", "fetch"][number % 2].to_owned()),
            ..details("x")
        });
    }
    let mut used = tokens(start + 30, run, new_id(), 1_000 * (i % 7), 50 + i);
    if let Some(Body::TokenCount(count)) = &mut used.event {
        count.model = Some(["m", "n", "nobody-knows"][number % 3].to_owned());
    }
    let failed = number.is_multiple_of(5);
    let status = if failed {
        EndStatus::Failed
    } else {
        EndStatus::Completed
    };
    let end = ended_with(run_ended(start + length, run, status), |end| {
        end.error = failed.then(|| format!("no luck {}", number % 2));
    });
    let begin = started_with(run_started(start, run), |started| {
        started.agent_id = agent.to_owned();
        started.name = Some(format!("{agent} {number}"));
        started.customer_id = id(CUSTOMERS[number % 2]);
        started.session_id = session.map(id).unwrap_or_default();
        started.parent_run_id = parent.map(id).unwrap_or_default();
        let user = number % 4;
        started.metadata_json = Some(format!("{{\"user\":\"u{user}\",\"tags\":[\"t{user}\"]}}"));
    });
    let said = message(start + 20, Some(run), None, new_id());
    vec![begin, called, said, used, end]
}

impl World {
    /// Daemons that have read what others have written and left.
    pub async fn new() -> Self {
        let (session, parent) = (id_on(1, SERVERS), id_on(0, SERVERS));
        let mut runs = vec![parent];
        runs.extend((1..RUNS).map(|number| id_on(number * 7 / 5 % 2, SERVERS)));
        let approvals = [0, 1, 0, 1].map(|server| (id_on(server, SERVERS), server));
        let events = events(&runs, session, &approvals);
        let (whole, spread) = (pg::database().await, store(SERVERS).await);
        let urls = [whole.url().to_owned(), spread.urls()];
        for (customer, name) in CUSTOMERS.iter().zip(["Acme", "Bolt"]) {
            let customer = customer.to_string();
            let add = ["customers", "add", "--name", name, "--id", &customer];
            for urls in &urls {
                runtraced(urls, &add);
            }
        }
        for (model, input) in [("m", "1"), ("n", "3")] {
            let price = ["prices", "set", model, "--input", input, "--output", "2"];
            for urls in &urls {
                runtraced(urls, &price);
            }
        }
        let customer = CUSTOMERS[0].to_string();
        let read = [
            "keys",
            "create",
            "--read",
            "--name",
            "r",
            "--customer",
            &customer,
        ];
        let keys = urls.each_ref().map(|urls| runtraced(urls, &read));
        let daemons = [
            Daemon::spawn_as_is(&urls[0], &[]).await,
            Daemon::spawn_as_is(&urls[1], &[]).await,
        ];
        for daemon in &daemons {
            daemon.wait_ready().await;
            daemon.submit(events.clone()).await;
        }
        Self {
            daemons,
            keys: vec![[String::new(), String::new()], keys],
            runs,
            parent,
            session,
            approvals: approvals.map(|(approval, _)| approval).to_vec(),
            whole,
            spread,
        }
    }

    /// A run on a server.
    pub fn on_server(&self, server: usize) -> Uuid {
        let mut all = self.runs.iter();
        *all.find(|run| server_of(**run, SERVERS) == server).unwrap()
    }

    /// A run of a customer.
    pub fn run_of(&self, customer: usize) -> Uuid {
        self.runs[customer]
    }

    /// Lets nobody into the database of the second server.
    pub async fn close_second(&self) {
        let name = self.spread.name_of(1);
        let mut conn = self.whole.connect().await;
        run(
            &mut conn,
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        )
        .await;
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        run(&mut conn, &end).await;
    }

    /// Undoes [`Self::close_second`].
    pub async fn open_second(&self) {
        let name = self.spread.name_of(1);
        let mut conn = self.whole.connect().await;
        run(
            &mut conn,
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        )
        .await;
    }

    pub async fn finish(self) {
        for daemon in self.daemons {
            daemon.finish().await;
        }
    }
}

/// What happens.
fn events(runs: &[Uuid], session: Uuid, approvals: &[(Uuid, usize); 4]) -> Vec<Event> {
    let mut all = Vec::new();
    let described = proto::SessionUpsert {
        session_id: id(session),
        title: Some("A long talk".into()),
        customer_id: id(CUSTOMERS[0]),
        ..Default::default()
    };
    all.push(event(0, Body::SessionUpsert(described)));
    for (number, run) in runs.iter().enumerate() {
        // The runs in the session are on both servers; so are the children of the first run.
        let in_session = number.is_multiple_of(4).then_some(session);
        let parent = match number {
            1..=6 => Some(runs[0]),
            7..=12 => Some(runs[number - 6]),
            _ => None,
        };
        all.extend(run_events(number, *run, parent, in_session));
    }
    for number in 0..4 {
        all.push(message(number * 100_000 + 5, None, Some(session), new_id()));
    }
    for (number, (approval, server)) in (0_i64..).zip(approvals) {
        let asker = runs.iter().find(|run| server_of(**run, SERVERS) == *server);
        let asker = *asker.unwrap();
        all.push(approval_requested(500 + number, asker, *approval));
    }
    all
}

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .unwrap();
}
