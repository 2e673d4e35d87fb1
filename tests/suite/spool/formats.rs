//! What was spooled by one version is read by all later ones.
//!
//! `tests/data/spool/v1/` is a spool as the first version of the format wrote it, and beside it in
//! `events.jsonl` what is in it. It is never changed: a new format gets a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtraced::event::Repairs;
use runtraced::ingest::native::{decode_event, decode_frame, encode_event, encode_frame};
use runtraced::json_mapping::event_from_json;
use runtraced::proto::Event;
use runtraced::spool::{
    DirectoryDisk, FORMAT_VERSION, SegmentLog, Spool, SpoolFolder, SpoolLimits,
};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use uuid::{NonNilUuid, Uuid};

use super::{SpoolDir, daemon, replayed, settled};
use crate::support::pg;

/// The process that wrote the files.
const WRITER: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);
const LOCK_FILE: &str = "spool.lock";
const SEGMENT: &str = "00000000000000000001.spool";
const LIMITS: SpoolLimits = SpoolLimits {
    total_bytes: 1 << 20,
    segment_bytes: 1 << 20,
};

/// An event of a spool: in which frame, for which customer.
#[derive(Debug, PartialEq)]
struct Kept {
    frame: u64,
    customer: Option<Uuid>,
    event: Event,
}

fn folder(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/spool/v{version}"))
}

/// What is in the files of a version.
fn expected(version: u32) -> Vec<Kept> {
    let text = fs::read_to_string(folder(version).join("events.jsonl")).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Kept {
            frame: line["frame"].as_u64().unwrap(),
            customer: line["customer"].as_str().map(|id| id.parse().unwrap()),
            event: event_from_json(&line["event"].to_string()).unwrap(),
        }
    };
    text.lines().map(line).collect()
}

/// A copy to work with.
fn copy(version: u32) -> SpoolDir {
    let dir = SpoolDir::new();
    for name in [LOCK_FILE, SEGMENT] {
        fs::copy(folder(version).join(name), dir.path().join(name)).unwrap();
    }
    dir
}

/// Scenario: the files of each version of the format, whose events are of every kind, for nobody, for
/// a customer, and of both in one frame.
/// Guarantees: this version reads each event as it was, for whom it was, and in order; it loses none.
#[test]
fn the_files_of_every_format_are_read() {
    for version in 1..=FORMAT_VERSION {
        let dir = copy(version);
        let spool = SpoolFolder::open(dir.path(), LIMITS, Uuid::now_v7()).unwrap();
        let id = fs::read_to_string(folder(version).join(LOCK_FILE)).unwrap();
        assert_eq!(spool.id().to_string(), id.trim());
        let mut found = Vec::new();
        while let Some(frame) = spool.read().unwrap() {
            let before = found.len();
            for part in decode_frame(&frame.payload).unwrap() {
                for event in part.events {
                    let read = decode_event(event.clone(), &mut Repairs::default()).unwrap();
                    assert_eq!(encode_event(&read), event);
                    found.push(Kept {
                        frame: frame.sequence,
                        customer: part.tenant.map(NonNilUuid::get),
                        event,
                    });
                }
            }
            assert_eq!(frame.events as usize, found.len() - before);
            spool.ack();
        }
        let kept = expected(version);
        assert!(kept.len() >= 20, "{}", kept.len());
        assert_eq!(spool.found_events(), kept.len() as u64);
        assert_eq!(found, kept, "version {version}");
        assert_eq!((spool.usage().damaged, spool.usage().events), (0, 0));
    }
}

/// Scenario: the same events are spooled by this version.
/// Guarantees: its files are those of the format that they name, to the byte. Where this fails, older
/// daemons may not read what is written: raise the version, and add a folder of the new files.
#[test]
fn what_is_written_is_the_format_it_says() {
    let kept = expected(FORMAT_VERSION);
    let id = fs::read_to_string(folder(FORMAT_VERSION).join(LOCK_FILE)).unwrap();
    let id: Uuid = id.trim().parse().unwrap();
    let dir = SpoolDir::new();
    let log = SegmentLog::open(DirectoryDisk::new(dir.path()), LIMITS, id, WRITER).unwrap();
    let spool = Spool::new(id, LIMITS, log, None);
    for frame in kept.chunk_by(|one, next| one.frame == next.frame) {
        let events: Vec<_> = frame
            .iter()
            .map(|kept| {
                let event = decode_event(kept.event.clone(), &mut Repairs::default()).unwrap();
                let tenant = kept.customer.and_then(NonNilUuid::new);
                runtraced::event::Event { tenant, ..event }
            })
            .collect();
        let payload = encode_frame(&events.iter().collect::<Vec<_>>());
        let frame = (&payload[..], u32::try_from(events.len()).unwrap());
        let (stored, result) = spool.store([frame], &Arc::default());
        result.unwrap();
        assert_eq!(stored, 1);
    }
    let [written, fixed] =
        [dir.path(), &folder(FORMAT_VERSION)].map(|folder| fs::read(folder.join(SEGMENT)).unwrap());
    assert!(
        written == fixed,
        "{} bytes, and not the {} of before",
        written.len(),
        fixed.len()
    );
}

/// Scenario: a daemon of this version is given the files of each.
/// Guarantees: it replays all of them: every event is committed, none becomes a dead letter, and what
/// was for a customer is the customer's.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_replays_the_files_of_every_format() {
    for version in 1..=FORMAT_VERSION {
        let database = pg::database().await;
        let kept = expected(version);
        let mut conn = PgConnection::connect(database.url()).await.unwrap();
        let customer = kept.iter().find_map(|kept| kept.customer).unwrap();
        sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'Acme', 1)")
            .bind(customer)
            .execute(&mut conn)
            .await
            .unwrap();
        let dir = copy(version);
        let daemon = daemon(database.url(), &dir, &[]).await;
        replayed(&daemon).await;
        assert_eq!(settled(&daemon, "dead_lettered").await, 0);
        assert_eq!(settled(&daemon, "refused").await, 0);
        let stored = settled(&daemon, "committed").await + settled(&daemon, "duplicate").await;
        assert_eq!(stored, kept.len() as u64);
        let theirs: i64 =
            sqlx::query_scalar("SELECT count(*) FROM agent_runs WHERE customer_id = $1")
                .bind(customer)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        assert_eq!(theirs, 3);
        assert!(!dir.path().join(SEGMENT).exists());
        daemon.finish().await;
    }
}
