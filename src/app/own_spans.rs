//! Starts and stops the spans in which the daemon tells of its own work.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{AppError, DaemonCore};
use crate::config::{CollectorTrust, OtelSettings};
use crate::listen::read_authorities;
use crate::own_spans::{OwnSpans, TailRule};
use crate::telemetry::{CollectorTls, SpanExport};

/// How long a shutdown waits at least until the last spans are sent.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(2);

/// The task that sends spans, if they are switched on.
pub(super) struct SpanSender(Option<(JoinHandle<()>, CancellationToken)>);

impl DaemonCore {
    /// Switches spans on if there is a collector for them.
    pub(super) fn own_spans(&self) -> Result<(OwnSpans, SpanSender), AppError> {
        let Some(otel) = &self.config.otel else {
            return Ok((OwnSpans::default(), SpanSender(None)));
        };
        let (spans, queue) = OwnSpans::new(TailRule::new(otel.sample, otel.slow));
        let instance = self.instance.to_string();
        let tls = tls(otel)?;
        let export = SpanExport::new(&otel.endpoint, tls, instance, &spans, queue)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(export.run(stop.clone()));
        Ok((spans, SpanSender(Some((task, stop)))))
    }
}

fn tls(otel: &OtelSettings) -> Result<CollectorTls, AppError> {
    Ok(match &otel.trust {
        None => CollectorTls::Off,
        Some(CollectorTrust::Public) => CollectorTls::Public,
        Some(CollectorTrust::File(file)) => {
            CollectorTls::Authorities(read_authorities(file).map_err(AppError::CollectorTrust)?)
        }
    })
}

impl SpanSender {
    /// Sends the last spans, if the collector takes them before the deadline of the shutdown.
    pub(super) async fn finish(self, deadline: Instant) {
        if let Some((mut task, stop)) = self.0 {
            stop.cancel();
            let until = deadline.max(Instant::now() + LAST_SPANS_TIMEOUT);
            if timeout_at(until, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}
