//! Sessions that a product's user inserted, under an id that a customer's events name later.

use prost::Message as _;
use runtraced::proto::RefusalCode;
use runtraced::proto::event::Event as Body;
use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection};
use uuid::Uuid;

use super::world::{World, world};
use super::{DENIED, refusals, submit};
use crate::support::daemon::Daemon;
use crate::support::events::{id, message, new_id, run_started, session_titled, started_with};
use crate::support::otlp::{post, request, span, text};
use crate::support::supabase::is_refusal;
use crate::support::tables::value;

/// A user of the product, whose role has every right on every table.
struct Mallory {
    id: Uuid,
    role: String,
}

impl Mallory {
    async fn new(conn: &mut PgConnection) -> Self {
        let (id, role) = (new_id(), format!("product_{}", new_id().simple()));
        let sql = format!(
            "CREATE ROLE {role} NOLOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
             INSERT INTO users (id) VALUES ('{id}')"
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(conn)
            .await
            .unwrap();
        Self { id, role }
    }

    async fn request(&self, conn: &mut PgConnection, sql: &str) -> Result<u64, Error> {
        let mut transaction = conn.begin().await?;
        sqlx::query(
            "SELECT set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
        )
        .bind(format!(r#"{{"sub":"{}"}}"#, self.id))
        .bind(&self.role)
        .execute(&mut *transaction)
        .await?;
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    async fn sees(&self, conn: &mut PgConnection) -> u64 {
        let sql = "SELECT FROM run_summary";
        self.request(conn, sql).await.unwrap()
    }
}

async fn run(conn: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(conn)
        .await
        .unwrap();
}

/// One span of a new trace in the conversation `chat-1`.
async fn chat(world: &World, daemon: &Daemon) {
    let mut one = span(new_id(), 1);
    one.attributes.push(text("session.id", "chat-1"));
    let bearer = format!("Authorization: Bearer {}", world.key.text);
    let headers = [bearer.as_str(), "Content-Type: application/x-protobuf"];
    let body = request(vec![one]).encode_to_vec();
    let answer = post(daemon, "/v1/traces", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Scenario: a user knows the id that the daemon derives from the name of a customer's conversation, and inserts
/// a session under it before the customer's first span, in all ways.
/// Guarantees: there is no such session until the span comes; then it is the customer's, and the user sees nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_plants_a_session_under_a_derived_id() {
    let (world, daemon, mut conn) = world(&[]).await;
    let mallory = Mallory::new(&mut conn).await;
    chat(&world, &daemon).await;
    let derived = "SELECT id FROM agent_sessions WHERE external_id = 'chat-1'";
    let session = value(&mut conn, derived).await;
    let session = session.as_str().unwrap();
    run(&mut conn, "TRUNCATE agent_sessions CASCADE".to_owned()).await;

    let acme = world.acme;
    for sql in [
        format!("INSERT INTO agent_sessions (id, user_id) VALUES ('{session}', auth.uid())"),
        format!(
            "INSERT INTO agent_sessions (id, user_id, tenant_id) VALUES ('{session}', auth.uid(), '{acme}')"
        ),
        format!(
            "INSERT INTO agent_sessions (id, user_id, customer_id) VALUES ('{session}', auth.uid(), '{acme}')"
        ),
        format!(
            "WITH mine AS (INSERT INTO agent_sessions (user_id) VALUES (auth.uid()) RETURNING id)
             INSERT INTO agent_sessions (id, user_id) SELECT '{session}', auth.uid() FROM mine"
        ),
    ] {
        let error = mallory.request(&mut conn, &sql).await.expect_err(&sql);
        assert!(is_refusal(&error), "{sql}: {error}");
    }
    let own = "INSERT INTO agent_sessions (user_id) VALUES (auth.uid())";
    assert_eq!(mallory.request(&mut conn, own).await.unwrap(), 1);
    let rename = format!("UPDATE agent_sessions SET id = '{session}'");
    assert!(is_refusal(
        &mallory.request(&mut conn, &rename).await.unwrap_err()
    ));

    chat(&world, &daemon).await;
    let whose =
        format!("SELECT ROW(tenant_id, user_id) FROM agent_sessions WHERE id = '{session}'");
    let whose = value(&mut conn, &whose).await;
    assert_eq!(whose["f1"], acme.to_string());
    assert_eq!(whose["f2"], serde_json::Value::Null);
    assert_eq!(mallory.sees(&mut conn).await, 0);
    daemon.finish().await;
}

/// Scenario: sessions that no event made: a user's, without a customer and, as the manager of the customer, with
/// it; and one that was planted before users were kept from it. The customer's key names them.
/// Guarantees: its events are refused, and the user sees no run of it. When an event says whose the session is,
/// the customer's events are written.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_no_event_is_no_customers() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, _, free] = world.clients(&daemon).await;
    let mallory = Mallory::new(&mut conn).await;
    let acme = world.acme;
    run(
        &mut conn,
        format!(
            "UPDATE customers SET csm_id = '{}' WHERE id = '{acme}'",
            mallory.id
        ),
    )
    .await;
    let [alone, managed, planted] = [(); 3].map(|()| Uuid::new_v4());
    for sql in [
        format!("INSERT INTO agent_sessions (id, user_id) VALUES ('{alone}', auth.uid())"),
        format!(
            "INSERT INTO agent_sessions (id, user_id, customer_id) VALUES ('{managed}', auth.uid(), '{acme}')"
        ),
    ] {
        assert_eq!(mallory.request(&mut conn, &sql).await.unwrap(), 1);
    }
    run(
        &mut conn,
        format!(
            "INSERT INTO agent_sessions (id, user_id, customer_id) VALUES ('{planted}', '{}', '{acme}')",
            mallory.id
        ),
    )
    .await;
    let before = mallory.sees(&mut conn).await;
    let events = |session: Uuid| {
        let started = started_with(run_started(0, new_id()), |e| e.session_id = id(session));
        vec![started, message(1, None, Some(session), new_id())]
    };
    for session in [alone, managed, planted] {
        let outcome = submit(&own, events(session)).await;
        let denied = [0, 1].map(|position| (RefusalCode::PermissionDenied, position));
        assert_eq!(refusals(&outcome), denied, "{session}");
        assert!(outcome.refused.iter().all(|r| r.reason == DENIED));
    }
    assert_eq!(mallory.sees(&mut conn).await, before);

    let mut upsert = session_titled(2, managed, "theirs");
    if let Some(Body::SessionUpsert(e)) = &mut upsert.event {
        e.customer_id = id(acme);
    }
    assert_eq!(refusals(&submit(&free, vec![upsert]).await), []);
    assert_eq!(refusals(&submit(&own, events(managed)).await), []);
    daemon.finish().await;
}
