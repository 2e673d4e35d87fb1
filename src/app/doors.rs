//! The two doors, gRPC and HTTP, and what they share.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::listen::{ConnectionLimits, Door, DoorCounts, Tls, WindowBudget};

/// The two doors, as logs and metrics name them.
pub(super) const GRPC: usize = 0;
pub(super) const HTTP: usize = 1;
/// Their names.
pub const DOORS: [&str; 2] = ["grpc", "http"];

/// What the doors have in common.
pub(super) struct Doors {
    limits: ConnectionLimits,
    tls: Option<Tls>,
    windows: WindowBudget,
    pub(super) counts: [Arc<DoorCounts>; DOORS.len()],
}

impl Doors {
    pub(super) fn new(config: &Config, tls: Option<Tls>) -> Self {
        Self {
            limits: config.connections,
            tls,
            windows: WindowBudget::new(config.memory_budget_bytes),
            counts: Default::default(),
        }
    }

    pub(super) fn open(&self, door: usize, listener: TcpListener) -> Door {
        Door {
            name: DOORS[door],
            listener,
            limits: self.limits,
            tls: self.tls.clone(),
            windows: self.windows.clone(),
            counts: self.counts[door].clone(),
        }
    }
}
