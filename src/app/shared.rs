//! State that several parts of the daemon read or count in.

use std::sync::Arc;

use crate::auth::KeyTable;
use crate::finalize::SweepCounts;
use crate::ingest::RepairCounts;
use crate::ingest::otlp::OtlpCounts;
use crate::own_spans::OwnSpans;
use crate::reap::ReapCounts;
use crate::telemetry::Readiness;

/// Readiness, counts and keys of one daemon.
pub(super) struct SharedState {
    pub readiness: Readiness,
    pub sweeps: Arc<SweepCounts>,
    pub reaped: Arc<ReapCounts>,
    pub repairs: Arc<RepairCounts>,
    pub spans: Arc<OtlpCounts>,
    pub keys: Arc<KeyTable>,
    pub own_spans: OwnSpans,
}

impl SharedState {
    /// Of so many servers.
    pub fn new(servers: usize, own_spans: OwnSpans) -> Self {
        Self {
            readiness: Readiness::new(servers),
            sweeps: Arc::default(),
            reaped: Arc::default(),
            repairs: Arc::default(),
            spans: Arc::default(),
            keys: Arc::default(),
            own_spans,
        }
    }
}
