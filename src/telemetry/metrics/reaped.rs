//! Metrics of what the reaper deletes and sees.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::seconds;
use crate::reap::ReapCounts;

pub(super) fn encode(encoder: &mut DescriptorEncoder, counts: &ReapCounts) -> fmt::Result {
    let help = "Rows that the reaper deleted, by table";
    let mut family = encoder.encode_descriptor("reaped_rows", help, None, MetricType::Counter)?;
    for (table, rows) in counts.rows() {
        ConstCounter::new(rows).encode(family.encode_family(&[("table", table)])?)?;
    }
    let help = "Seconds that the reaper has worked";
    let busy = ConstCounter::new(counts.busy().as_secs_f64());
    busy.encode(encoder.encode_descriptor("reap_seconds", help, None, MetricType::Counter)?)?;
    seconds(
        encoder,
        "oldest_run_seconds",
        "How long the run that has not changed for longest is unchanged",
        counts.oldest(),
    )?;
    let help = "Bytes of tables with their indexes, as the reaper last saw them";
    let mut family = encoder.encode_descriptor("table_bytes", help, None, MetricType::Gauge)?;
    for (table, bytes) in counts.table_bytes() {
        ConstGauge::new(bytes).encode(family.encode_family(&[("table", table.as_str())])?)?;
    }
    Ok(())
}
