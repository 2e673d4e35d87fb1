//! Sends the daemon's own spans to a collector. It can fail and be late: work never waits for
//! it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::span_data::SpanMaker;
use crate::own_spans::{FinishedQueue, INSTANCE_KEY, OwnSpanCounts, OwnSpans};

/// Time between two looks into the queue. Nobody is woken for a single span, and what is sent
/// in this time is bounded by the queue.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the collector may take for one request. It is the default of OpenTelemetry.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same after a request that failed, so that no shutdown waits long for a collector that hangs.
const FAILING_TIMEOUT: Duration = Duration::from_secs(3);
/// Spans of one request.
const REQUEST_SPANS: usize = 512;

/// Whether the collector is reached by TLS, and whom that trusts.
#[derive(Debug)]
pub enum CollectorTls {
    /// In clear text.
    Off,
    /// The public authorities.
    Public,
    /// These authorities, in PEM.
    Authorities(Vec<u8>),
}

impl CollectorTls {
    fn config(self) -> Option<ClientTlsConfig> {
        // Without any root, every certificate would be refused.
        Some(match self {
            Self::Off => return None,
            Self::Public => ClientTlsConfig::new().with_webpki_roots(),
            Self::Authorities(pem) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
            }
        })
    }
}

/// Sends what is in the queue.
#[derive(Debug)]
pub struct SpanExport {
    exporter: SpanExporter,
    queue: FinishedQueue,
    counts: Arc<OwnSpanCounts>,
    /// Whether the last request failed.
    failing: bool,
}

impl SpanExport {
    /// Sends to `endpoint` as the daemon `instance`. Does not connect yet.
    ///
    /// # Errors
    /// When the endpoint or the variables of OpenTelemetry are not valid.
    pub fn new(
        endpoint: &str,
        tls: CollectorTls,
        instance: String,
        spans: &OwnSpans,
        queue: FinishedQueue,
    ) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic();
        let exporter = exporter.with_endpoint(endpoint).with_timeout(TIMEOUT);
        let exporter = match tls.config() {
            Some(tls) => exporter.with_tls_config(tls),
            None => exporter,
        };
        let mut exporter = exporter.build()?;
        let resource = Resource::builder().with_service_name("runtraced");
        let resource = resource.with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new(INSTANCE_KEY, instance),
        ]);
        exporter.set_resource(&resource.build());
        Ok(Self {
            exporter,
            queue,
            counts: spans.counts(),
            failing: false,
        })
    }

    /// Sends until `stop`, and then what is left, as long as the collector takes it.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = stop.cancelled() => {}
            }
            self.send_queued(&stop).await;
        }
    }

    async fn send_queued(&mut self, stop: &CancellationToken) {
        let maker = SpanMaker::new();
        let mut spans = Vec::new();
        // What comes meanwhile waits for the next time.
        for work in self.queue.try_iter().take(self.queue.len()) {
            maker.add(*work, &mut spans);
        }
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(REQUEST_SPANS));
            self.send(spans).await;
            spans = rest;
            if self.failing && stop.is_cancelled() {
                return;
            }
        }
    }

    async fn send(&mut self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        let limit = if self.failing {
            FAILING_TIMEOUT
        } else {
            TIMEOUT
        };
        let sent = timeout(limit, self.exporter.export(spans)).await;
        let sent = sent.unwrap_or(Err(OTelSdkError::Timeout(limit)));
        match &sent {
            Ok(()) => self.counts.sent.fetch_add(count, Relaxed),
            Err(_) => self.counts.not_taken.fetch_add(count, Relaxed),
        };
        match (sent, self.failing) {
            // WARN: nothing is lost but spans about the daemon.
            (Err(error), false) => tracing::warn!(
                %error,
                "the collector does not take the daemon's own spans; they are dropped until it does: \
                 see --otel-endpoint"
            ),
            (Ok(()), true) => tracing::info!("the collector takes the daemon's own spans again"),
            _ => return,
        }
        self.failing = !self.failing;
    }
}
