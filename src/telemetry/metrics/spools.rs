//! The spool of each server of the store. The only server needs no label.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::ServerSources;
use crate::pipeline::Gate;
use crate::spool::Spool;

/// A gauge of a spool: name, help, and its value.
type SpoolGauge = (&'static str, &'static str, fn(&Spool, &Gate) -> u64);

const GAUGES: [SpoolGauge; 8] = [
    (
        "spooling",
        "1 while the database is away or too slow and events go to the spool",
        |_, gate| u64::from(gate.is_closed()),
    ),
    (
        "spool_refusing",
        "1 if the last write to the spool failed: it is full, or its disk failed",
        |spool, _| u64::from(spool.refusing()),
    ),
    (
        "spool_stalled",
        "1 if the spool has not moved for a minute although the database is there",
        |_, gate| u64::from(gate.is_stalled()),
    ),
    (
        "spool_other_database",
        "1 if the spool holds events of another database, and is not replayed",
        |_, gate| u64::from(gate.is_other_database()),
    ),
    (
        "spool_budget_bytes",
        "Bytes that the spool may take on disk",
        |spool, _| spool.budget_bytes(),
    ),
    (
        "spool_used_bytes",
        "Bytes of the spool on disk",
        |spool, _| spool.usage().bytes,
    ),
    ("spool_files", "Segment files of the spool", |spool, _| {
        spool.usage().segments
    }),
    (
        "spool_quarantined_files",
        "Quarantined spool files",
        |spool, _| spool.usage().quarantined,
    ),
];

/// Encodes what is known of the spools; nothing if there are none.
pub(super) fn encode(encoder: &mut DescriptorEncoder, servers: &[ServerSources]) -> fmt::Result {
    for (name, help, value) in GAUGES {
        each(
            encoder,
            (name, help, MetricType::Gauge),
            servers,
            |spool, gate| ConstGauge::new(i64::try_from(value(spool, gate)).unwrap_or(i64::MAX)),
        )?;
    }
    let name = "spool_oldest_seconds";
    let help = "Age of the oldest segment file of the spool that holds events";
    each(
        encoder,
        (name, help, MetricType::Gauge),
        servers,
        |spool, _| ConstGauge::new(spool.oldest_age().unwrap_or_default().as_secs_f64()),
    )?;
    let help = "Damaged places found in the spool; their events are lost";
    each(
        encoder,
        ("spool_damage", help, MetricType::Counter),
        servers,
        |spool, _| ConstCounter::new(spool.usage().damaged),
    )
}

/// Encodes a metric of each server that has a spool.
fn each<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    (name, help, kind): (&str, &str, MetricType),
    servers: &[ServerSources],
    metric: impl Fn(&Spool, &Gate) -> M,
) -> fmt::Result {
    let spools = servers
        .iter()
        .filter_map(|server| Some((server, server.spool.as_ref()?)));
    let spools: Vec<_> = spools.collect();
    if spools.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (server, spool) in spools {
        let metric = metric(spool, &server.gate);
        match server.place.has_others() {
            true => {
                let place = server.place.to_string();
                let labels = [("server", place.as_str())];
                metric.encode(family.encode_family(&labels)?)?;
            }
            // It is the only one.
            false => return metric.encode(family),
        }
    }
    Ok(())
}
