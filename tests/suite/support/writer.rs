//! A role with what the daemon needs and no more. With RUNTRACED_TEST_AS_WRITER
//! in the environment every daemon of the suite connects as it.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;

use sqlx::{Connection as _, PgConnection};

pub const ROLE: &str = "trace writer's";

/// Whether the daemons of the suite connect as the writer.
pub fn is_wanted() -> bool {
    std::env::var_os("RUNTRACED_TEST_AS_WRITER").is_some()
}

/// Databases whose writer is there. Asked again later they may be away.
static GRANTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The URL of a database, as the writer, who is there then.
pub async fn writer(database_url: &str) -> String {
    if GRANTED.lock().unwrap().contains(database_url) {
        return as_role(database_url);
    }
    let mut conn = PgConnection::connect(database_url).await.unwrap();
    sqlx::raw_sql(
        "DO $$ BEGIN CREATE ROLE \"trace writer's\" LOGIN; \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    for args in [&["migrate"][..], &["grant", "--role", ROLE]] {
        let out = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .args(args)
            .env("DATABASE_URL", database_url)
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {out:?}");
    }
    GRANTED.lock().unwrap().insert(database_url.to_owned());
    as_role(database_url)
}

/// The same database, as the writer.
pub fn as_role(database_url: &str) -> String {
    let (base, query) = database_url.split_once('?').unwrap();
    let others = query.split('&').filter(|part| !part.starts_with("user="));
    let parts: Vec<&str> = others.chain(["user=trace%20writer%27s"]).collect();
    format!("{base}?{}", parts.join("&"))
}
