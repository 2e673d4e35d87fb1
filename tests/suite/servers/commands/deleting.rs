//! Commands that delete.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{TwoServers, id_on};
use crate::retention::rows::{age, age_sessions, run_sql};
use crate::support::events::{
    event, id, message, new_id, run_ended, run_started, session_titled, started_with, step,
};
use crate::support::process::runtraced;
use crate::support::tables::{count, value};

/// Runs `erase --json` on all servers.
async fn erase(servers: &TwoServers, args: &[&str]) -> (i32, Value) {
    let args = [&["erase", "--json"], args].concat();
    let (code, said) = runtraced(&args, &servers.urls()).await;
    let end = said.rfind('}').map_or(0, |end| end + 1);
    (
        code,
        serde_json::from_str(&said[..end]).unwrap_or(json!(said)),
    )
}

async fn runs(servers: &TwoServers) -> [i64; 2] {
    let [one, two] = &mut servers.connect().await;
    [
        count(one, "agent_runs").await,
        count(two, "agent_runs").await,
    ]
}

fn in_session(run: Uuid, session: Uuid) -> Event {
    started_with(run_started(0, run), |run| run.session_id = id(session))
}

fn below(run: Uuid, parent: Uuid) -> Event {
    started_with(run_started(0, run), |run| run.parent_run_id = id(parent))
}

/// Scenario: a session has runs on both servers. One of them started a run on the other server, which started one on the
/// first, which started one without a start of its own yet. Others' runs are there, too. The session is erased.
/// Guarantees: the counts are right before; after it, nothing of the session is on any server, and each notes all that is
/// gone; nothing of the others goes; a child that comes later goes with the next command.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_from_all_servers() {
    let servers = TwoServers::new().await;
    let (session, other) = (id_on(1), new_id());
    let [top, child, grandchild] = [id_on(0), id_on(1), id_on(0)];
    let own = id_on(1);
    servers
        .send(
            0,
            vec![
                session_titled(0, session, "secret"),
                in_session(top, session),
                step(1, 2, top, new_id()),
                below(grandchild, child),
                in_session(id_on(0), other),
            ],
        )
        .await;
    servers
        .send(
            1,
            vec![
                session_titled(0, session, "secret"),
                message(1, None, Some(session), new_id()),
                in_session(own, session),
                below(child, top),
                in_session(id_on(1), other),
            ],
        )
        .await;
    servers.join().await;
    let session = session.to_string();
    let (code, report) = erase(&servers, &["--session", &session, "--dry-run"]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["rows"]["agent_runs"], 4, "{report}");
    assert_eq!(runs(&servers).await, [3, 3]);
    let (code, report) = erase(&servers, &["--session", &session, "--yes"]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["rows"]["agent_runs"], 4, "{report}");
    assert_eq!(report["rows"]["agent_sessions"], 2, "{report}");
    assert_eq!(report["rows"]["agent_messages"], 1, "{report}");
    assert_eq!(runs(&servers).await, [1, 1]);
    let mut conns = servers.connect().await;
    for conn in &mut conns {
        assert_eq!(
            count(conn, "ingest_tombstones WHERE erased_for IS NOT NULL").await,
            5
        );
        assert_eq!(count(conn, "agent_sessions").await, 1);
    }

    let late = format!(
        "INSERT INTO agent_runs (id, agent_id, agent_type, parent_run_id) VALUES ('{}', 'a', 'a', '{grandchild}')",
        id_on(1)
    );
    run_sql(&mut conns[1], &late).await;
    let (code, report) = erase(&servers, &["--session", &session, "--yes"]).await;
    assert_eq!(
        (code, &report["rows"]["agent_runs"]),
        (0, &json!(1)),
        "{report}"
    );
    assert_eq!(runs(&servers).await, [1, 1]);
}

/// Scenario: a session's run of one customer is named as the parent of another customer's run on the other server. The session is
/// erased twice: the second time, nobody knows any more whose the parent was.
/// Guarantees: the other customer's run stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_customer_stays_however_often_its_parent_is_erased() {
    let servers = TwoServers::new().await;
    let (session, top) = (new_id(), id_on(0));
    let of = |event, customer| started_with(event, |run| run.customer_id = id(customer));
    let (mine, theirs) = (new_id(), new_id());
    servers
        .send(0, vec![of(in_session(top, session), mine)])
        .await;
    servers
        .send(1, vec![of(below(id_on(1), top), theirs)])
        .await;
    servers.join().await;
    let session = session.to_string();
    for _ in 0..2 {
        let (code, report) = erase(&servers, &["--session", &session, "--yes"]).await;
        assert_eq!(code, 0, "{report}");
        assert_eq!(runs(&servers).await, [0, 1], "{report}");
    }
}

/// Scenario: a user's name is in runs of two customers, one on each server; then with the name of one of them.
/// Guarantees: without the customer nothing is erased, and the answer says why; with it, only that customer's run goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_customers_have_is_refused() {
    let servers = TwoServers::new().await;
    let customers = [new_id(), new_id()];
    for (server, customer) in customers.iter().enumerate() {
        let start = started_with(run_started(0, id_on(server)), |run| {
            run.customer_id = id(*customer);
            run.metadata_json = Some("{\"user\":\"ann\"}".to_owned());
        });
        servers.send(server, vec![start]).await;
    }
    servers.join().await;
    let (code, report) = erase(&servers, &["--user", "ann", "--yes"]).await;
    assert_eq!((code, &report["customers"]), (1, &json!(2)), "{report}");
    assert_eq!(runs(&servers).await, [1, 1]);
    let customer = customers[1].to_string();
    let (code, report) = erase(
        &servers,
        &["--user", "ann", "--customer", &customer, "--yes"],
    )
    .await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(runs(&servers).await, [1, 0]);
}

/// Scenario: a user's session is on both servers, but only the first one knows the user: the second has only what a run says.
/// Guarantees: both lose it. A session of another customer that has the same id stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_one_server_does_not_know_goes_too() {
    let servers = TwoServers::new().await;
    let (session, taken) = (new_id(), new_id());
    let upsert = |session| {
        event(
            0,
            Body::SessionUpsert(proto::SessionUpsert {
                session_id: id(session),
                metadata_json: Some("{\"user\":\"ann\"}".to_owned()),
                ..Default::default()
            }),
        )
    };
    servers.send(0, vec![upsert(session), upsert(taken)]).await;
    servers.send(1, vec![in_session(id_on(1), session)]).await;
    let mut conns = servers.connect().await;
    let (mine, theirs) = (new_id(), new_id());
    run_sql(
        &mut conns[0],
        &format!("UPDATE agent_sessions SET tenant_id = '{mine}' WHERE id = '{taken}'"),
    )
    .await;
    run_sql(
        &mut conns[1],
        &format!("INSERT INTO agent_sessions (id, tenant_id) VALUES ('{taken}', '{theirs}')"),
    )
    .await;
    servers.join().await;
    let (code, report) = erase(&servers, &["--user", "ann", "--yes"]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["rows"]["agent_sessions"], 3, "{report}");
    assert_eq!(runs(&servers).await, [0, 0]);
    assert_eq!(
        count(
            &mut conns[1],
            &format!("agent_sessions WHERE id = '{taken}'")
        )
        .await,
        1
    );
}

/// Scenario: one of two servers is away when a session is erased.
/// Guarantees: the command says which one, and nothing is erased.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_while_a_server_is_away() {
    let servers = TwoServers::new().await;
    let session = new_id();
    servers.send(0, vec![in_session(id_on(0), session)]).await;
    servers.join().await;
    let urls = format!(
        "{} postgresql://nobody@localhost:1/none",
        servers.databases[0].url()
    );
    let args = ["erase", "--session", &session.to_string(), "--yes"];
    let (code, said) = runtraced(&args, &urls).await;
    assert!(code == 69 && said.contains("localhost:1"), "{code} {said}");
    assert_eq!(runs(&servers).await, [1, 0]);
}

/// Scenario: the second server cannot delete runs, after the first one has; then it can.
/// Guarantees: the command says where it failed, and what is deleted; the same command does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn an_erase_that_fails_half_way_says_so_and_goes_on() {
    let servers = TwoServers::new().await;
    let session = new_id();
    for server in [0, 1] {
        servers
            .send(server, vec![in_session(id_on(server), session)])
            .await;
    }
    servers.join().await;
    let mut conn = servers.databases[1].connect().await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not here'; END $$";
    run_sql(&mut conn, refuse).await;
    let trigger = "CREATE TRIGGER refuse BEFORE DELETE ON agent_sessions FOR EACH ROW EXECUTE FUNCTION refuse()";
    run_sql(&mut conn, trigger).await;
    let args = ["erase", "--session", &session.to_string(), "--yes"];
    let (code, said) = runtraced(&args, &servers.urls()).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("agent_runs") && said.contains("deleted rows"),
        "{said}"
    );
    assert!(
        said.contains("repeat the command: server 2/2, ") && said.contains("not here"),
        "{said}"
    );
    run_sql(&mut conn, "DROP TRIGGER refuse ON agent_sessions").await;
    servers.run(&args).await;
    assert_eq!(runs(&servers).await, [0, 0]);
    assert_eq!(count(&mut conn, "agent_sessions").await, 0);
}

/// Scenario: old runs are on both servers, and one that is not old.
/// Guarantees: prune counts and deletes the old ones of both.
#[tokio::test(flavor = "multi_thread")]
async fn old_runs_go_from_all_servers() {
    let servers = TwoServers::new().await;
    let ended = |run| vec![run_started(0, run), run_ended(9, run, EndStatus::Completed)];
    let old = [id_on(0), id_on(1)];
    servers.send(0, ended(old[0])).await;
    servers
        .send(1, [ended(old[1]), ended(id_on(1))].concat())
        .await;
    for conn in &mut servers.connect().await {
        age(conn, &old, 40).await;
    }
    servers.join().await;
    for (flags, left) in [(&["--dry-run"][..], [1, 2]), (&[], [0, 1])] {
        let args = [&["prune", "--older-than", "30d", "--json"], flags].concat();
        assert_eq!(servers.json(&args).await["agent_runs"], 2);
        assert_eq!(runs(&servers).await, left);
    }
}

/// Scenario: the last runs of two old sessions on a server are deleted. Events describe one, which has a run on the other server.
/// Guarantees: prune leaves the one that is described, for the server may get runs of it; the other goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_session_stays_on_all_servers() {
    let servers = TwoServers::new().await;
    let (described, named) = (new_id(), new_id());
    let title = || session_titled(0, described, "ours");
    servers
        .send(0, vec![title(), in_session(id_on(0), described)])
        .await;
    let gone = id_on(1);
    let ended = run_ended(9, gone, EndStatus::Completed);
    let last = id_on(1);
    let last_ended = run_ended(9, last, EndStatus::Completed);
    let theirs = [in_session(gone, named), ended];
    let ours = [title(), in_session(last, described), last_ended];
    servers.send(1, [&ours[..], &theirs].concat()).await;
    for conn in &mut servers.connect().await {
        age(conn, &[gone, last], 40).await;
        age_sessions(conn, &[described, named], 40).await;
    }
    servers.join().await;
    servers.run(&["prune", "--older-than", "30d"]).await;
    for conn in &mut servers.connect().await {
        let left = "SELECT jsonb_agg(title) FROM agent_sessions";
        assert_eq!(value(conn, left).await, json!(["ours"]));
    }
    assert_eq!(runs(&servers).await, [1, 0]);
}
