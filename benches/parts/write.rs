//! The cost of writing a batch to Postgres, from planning to COMMIT: new events, which are
//! appended with COPY, and the same events again, which are merged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use runtraced::bench::workload::WorkloadKind;
use runtraced::event::Event;
use runtraced::own_spans::OwnSpans;
use runtraced::postgres::{PrivateConfig, PrivatePostgres, StopMode};
use runtraced::store::{WhenAway, Writer, WriterConfig, migrate};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::encode::events;

/// Events per batch.
const BATCH_SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

pub fn batches(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = std::env::temp_dir().join(format!("runtraced-parts-{}", Uuid::new_v4().simple()));
    let config = PrivateConfig::new(&folder);
    let mut server = runtime.block_on(PrivatePostgres::start(&config)).unwrap();
    let url = server.url().to_owned();
    runtime.block_on(async {
        let mut conn = PgConnection::connect(&url).await.unwrap();
        migrate(&mut conn).await.unwrap();
    });
    // Every batch needs its own seed, so that its ids are new.
    let mut seed = 1_u64;
    for (kind, duplicate) in [
        (WorkloadKind::Steps, false),
        (WorkloadKind::Steps, true),
        (WorkloadKind::Agent, false),
        (WorkloadKind::Agent, true),
    ] {
        let name = if duplicate { "duplicates" } else { "new" };
        let mut group = c.benchmark_group(format!("write/{}/{name}", kind.name()));
        // A sample of large batches takes seconds, so take the fewest that criterion allows.
        group.sample_size(10);
        for size in BATCH_SIZES {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(size.to_string(), |b| {
                let mut writer = writer(&url);
                b.iter_custom(|iterations| {
                    let mut took = Duration::ZERO;
                    for _ in 0..iterations {
                        seed += 1;
                        let batch = events(kind, size, seed);
                        let batch: Vec<&Event> = batch.iter().take(size).collect();
                        if duplicate {
                            runtime.block_on(writer.write(&batch)).unwrap();
                        }
                        let begin = Instant::now();
                        runtime.block_on(writer.write(&batch)).unwrap();
                        took += begin.elapsed();
                    }
                    took
                });
            });
        }
        group.finish();
    }
    runtime.block_on(server.stop(StopMode::Immediate)).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

fn writer(url: &str) -> Writer {
    let config = WriterConfig {
        database: url.parse().unwrap(),
        instance: Uuid::now_v7(),
        run_timeout_ms: 3_600_000,
        commit_timeout: Duration::from_secs(60),
        when_away: WhenAway::Wait,
        render: |_| String::new(),
        give_up: CancellationToken::new(),
        histograms: Arc::default(),
        own_spans: OwnSpans::default(),
    };
    Writer::new(config, 0, Arc::default())
}
