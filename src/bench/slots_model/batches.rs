//! What a daemon's transactions had in them, from its `/metrics`.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Sums over all transactions of the writers of a daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub(super) struct BatchTotals {
    pub transactions: f64,
    pub events: f64,
    /// As they count in the memory budget.
    pub bytes: f64,
}

impl BatchTotals {
    /// Asks a daemon. `page` is its URL, without a path.
    ///
    /// # Errors
    /// When it does not answer, or not with these figures.
    pub async fn ask(page: &str) -> anyhow::Result<Self> {
        let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = http.get(format!("{page}/metrics").parse()?).await;
        let answer = answer.context("no answer to /metrics")?;
        let status = answer.status();
        ensure!(status.is_success(), "/metrics was answered with {status}");
        let body = answer.into_body().collect().await?.to_bytes();
        Self::find(&String::from_utf8_lossy(&body))
            .context("/metrics lacks runtraced_write_batch_events or runtraced_write_batch_bytes")
    }

    fn find(metrics: &str) -> Option<Self> {
        let value = |name: &str| -> Option<f64> {
            let begin = format!("runtraced_write_batch_{name}{{writer=\"shard\"}} ");
            let mut lines = metrics.lines();
            lines.find_map(|line| line.strip_prefix(&begin)?.parse().ok())
        };
        Some(Self {
            transactions: value("events_count")?,
            events: value("events_sum")?,
            bytes: value("bytes_sum")?,
        })
    }

    /// What came since.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            transactions: self.transactions - earlier.transactions,
            events: self.events - earlier.events,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_writers_are_found() {
        let metrics = "# TYPE runtraced_write_batch_events histogram\n\
            runtraced_write_batch_events_sum{writer=\"replayer\"} 1.0\n\
            runtraced_write_batch_events_sum{writer=\"shard\"} 500.0\n\
            runtraced_write_batch_events_count{writer=\"shard\"} 5\n\
            runtraced_write_batch_bytes_sum{writer=\"shard\"} 1e6\n";
        let found = BatchTotals::find(metrics).unwrap();
        let wanted = BatchTotals {
            transactions: 5.0,
            events: 500.0,
            bytes: 1e6,
        };
        assert_eq!(found, wanted);
        assert_eq!(found.since(wanted), BatchTotals::default());
        assert_eq!(BatchTotals::find("nothing"), None);
    }
}
