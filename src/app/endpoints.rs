//! The two endpoints, gRPC and HTTP, and the settings that they share.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::listen::{
    ConnectionLimits, ENDPOINT_NAMES, Endpoint, EndpointCounts, Tls, WindowBudget,
};

// Indexes into `ENDPOINT_NAMES`.
pub(super) const GRPC: usize = 0;
pub(super) const HTTP: usize = 1;

/// The shared settings of the endpoints, and the counts of each.
pub(super) struct Endpoints {
    limits: ConnectionLimits,
    displace_keyless: bool,
    tls: Option<Tls>,
    windows: WindowBudget,
    pub counts: [Arc<EndpointCounts>; ENDPOINT_NAMES.len()],
}

impl Endpoints {
    pub fn new(config: &Config, tls: Option<Tls>) -> Self {
        Self {
            limits: config.connections,
            // Without required keys a connection without one may be any client's.
            displace_keyless: config.require_keys,
            tls,
            windows: WindowBudget::new(config.memory_budget_bytes),
            counts: Default::default(),
        }
    }

    pub fn open(&self, index: usize, listener: TcpListener) -> Endpoint {
        Endpoint {
            name: ENDPOINT_NAMES[index],
            listener,
            limits: self.limits,
            displace_keyless: self.displace_keyless,
            tls: self.tls.clone(),
            windows: self.windows.clone(),
            counts: self.counts[index].clone(),
        }
    }
}
