//! A run as a file: read and sent a page at a time.
//!
//! While a client takes its time, nothing in the database waits for it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _, once};
use uuid::Uuid;

use super::WebState;
use super::error::WebError;
use crate::auth::Identity;
use crate::query::{ExportKey, ExportPage, SqlText, export_keys, export_page, export_statement};

/// Exports at the same time.
const EXPORTS: usize = 16;
/// Exports that ask the database at the same time.
const TURNS: usize = 2;
/// Bytes of a page, unless one event has more.
const PAGE_BYTES: usize = 1 << 20;
/// Events of the first page, and of the largest one.
const FIRST_EVENTS: usize = 16;
const MOST_EVENTS: usize = 64;
/// How long a client may take for a page.
const PATIENCE: Duration = Duration::from_secs(60);

/// A part of a file. An empty one says that the file is whole.
pub(super) type ExportPart = Result<Bytes, std::io::Error>;

/// The places of exports.
#[derive(Debug)]
pub(super) struct ExportPlaces {
    open: Arc<Semaphore>,
    turns: Semaphore,
}

impl Default for ExportPlaces {
    fn default() -> Self {
        Self {
            open: Arc::new(Semaphore::new(EXPORTS)),
            turns: Semaphore::new(TURNS),
        }
    }
}

impl ExportPlaces {
    /// The place of one export; `None`: there are too many.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.open.clone().try_acquire_owned().ok()
    }
}

/// The parts as a body. If they end without the last one, the body breaks off, so that no
/// client takes what it has for the whole.
pub(super) fn whole(parts: mpsc::Receiver<ExportPart>) -> impl Stream<Item = ExportPart> {
    let broken = once(Err(std::io::Error::other("the export broke off")));
    ReceiverStream::new(parts)
        .chain(broken)
        .take_while(|part| !matches!(part, Ok(bytes) if bytes.is_empty()))
}

impl WebState {
    /// Reads the events of a run and sends them, as fast as the client takes them, until its
    /// right to read ends.
    pub(super) async fn send_events(&self, head: &Parts, run: Uuid, to: &mpsc::Sender<ExportPart>) {
        let revoked = async {
            match head.extensions.get::<Identity>() {
                Some(identity) => identity.revoked().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What is missing at the end tells the client.
            _ = self.send_pages(head, run, to) => {}
            () = revoked => {}
            () = to.closed() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Returns `None` if the file is not whole.
    async fn send_pages(
        &self,
        head: &Parts,
        run: Uuid,
        to: &mpsc::Sender<ExportPart>,
    ) -> Option<()> {
        let events = export_statement(run);
        let keys = self.keys(head, run, &events).await.ok()?;
        let (mut rest, mut size) = (keys.as_slice(), FIRST_EVENTS);
        while !rest.is_empty() {
            let asked = &rest[..size.min(rest.len())];
            let page = match self.page(head, run, &events, asked).await {
                Ok(page) => page,
                // Perhaps it was too much at once.
                Err(WebError::Database(_)) if asked.len() > 1 => {
                    size = asked.len().div_ceil(4);
                    continue;
                }
                Err(_) => return None,
            };
            rest = &rest[page.done..];
            // Large events: fewer at a time. Small ones: more.
            size = match page.done < asked.len() {
                true => page.done,
                false if page.lines.len() < PAGE_BYTES / 4 => (2 * size).min(MOST_EVENTS),
                false => size,
            };
            // Events may be gone meanwhile.
            if !page.lines.is_empty() {
                let sent = to.send(Ok(Bytes::from(page.lines)));
                timeout(PATIENCE, sent).await.ok()?.ok()?;
            }
        }
        timeout(PATIENCE, to.send(Ok(Bytes::new())))
            .await
            .ok()?
            .ok()
    }

    async fn keys(
        &self,
        head: &Parts,
        run: Uuid,
        events: &SqlText,
    ) -> Result<Vec<ExportKey>, WebError> {
        let _turn = self.exports.turns.acquire().await;
        let (_, mut tx) = self.begin_at(head, run).await?;
        Ok(export_keys(&mut tx, events).await?)
    }

    async fn page(
        &self,
        head: &Parts,
        run: Uuid,
        events: &SqlText,
        keys: &[ExportKey],
    ) -> Result<ExportPage, WebError> {
        let _turn = self.exports.turns.acquire().await;
        let (_, mut tx) = self.begin_at(head, run).await?;
        Ok(export_page(&mut tx, events, keys, PAGE_BYTES).await?)
    }
}
