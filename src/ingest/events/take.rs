//! Takes one request: read, decode, admit, wait.

use tokio::sync::OwnedSemaphorePermit;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;

use super::answer::{EventsAnswer, RefusedEvent};
use super::error::EventsError;
use super::request::EventsRequest;
use super::written::WrittenEvents;
use crate::auth::Identity;
use crate::event::FieldLimits;
use crate::histograms::{BatchSource, IngestEndpoint};
use crate::ingest::batch::BatchDecoder;
use crate::ingest::body::ReadBody;
use crate::ingest::intake::Intake;
use crate::ingest::native::ReceiveBudget;
use crate::ingest::prepare::Preparer;
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::ingest::told::{begin_request, end_answered, note_settled};
use crate::json_mapping::{WrittenEvent, event_from_line};
use crate::own_spans::WorkSpan;
use crate::pipeline::{BatchOutcome, Durability};

/// Characters of the reason why a line is no event. It may repeat what the line says.
const MAX_REASON_CHARS: usize = 200;

/// Handles requests with events.
#[derive(Clone, Debug)]
pub struct EventsIngest {
    /// Takes the requests.
    pub intake: Intake,
    /// Prepares events, and reasons that quote them.
    pub preparer: Preparer,
    /// Limits of the fields of an event.
    pub fields: FieldLimits,
    /// The most events of a request.
    pub max_events: usize,
    /// The budget for events that are being received, shared with the native protocol.
    pub receive: ReceiveBudget,
}

/// The events of a body before they are admitted.
struct DecodedBody {
    decoder: BatchDecoder,
    malformed: Vec<RefusedEvent>,
    bytes: usize,
    /// Their memory, until they are admitted.
    shares: Vec<OwnedSemaphorePermit>,
}

impl EventsIngest {
    /// Takes one request. Returns when all its events are durable or refused.
    ///
    /// # Errors
    /// The error for the client.
    pub(super) async fn take(&self, request: Request) -> Result<EventsAnswer, EventsError> {
        let (head, body) = request.into_parts();
        let spans = &self.intake.config.own_spans;
        let mut span = begin_request(spans, IngestEndpoint::Events, &head.headers);
        let answer = self.take_body(&head, body, &mut span).await;
        end_answered(span, &answer, EventsError::code);
        answer
    }

    async fn take_body(
        &self,
        head: &Parts,
        body: Body,
        span: &mut WorkSpan,
    ) -> Result<EventsAnswer, EventsError> {
        let wanted = EventsRequest::of(head)?;
        let identity = Identity::of(&head.extensions)?;
        identity.check_quota().map_err(Unsettled::from)?;
        let body = self.intake.read_body(&identity, body, 0).await??;
        span.lap("receive");
        let settling = self.settle(&identity, wanted, body, span);
        self.intake.config.tasks.track_future(settling).await
    }

    async fn settle(
        &self,
        identity: &Identity,
        wanted: EventsRequest,
        body: ReadBody,
        span: &mut WorkSpan,
    ) -> Result<EventsAnswer, EventsError> {
        let pipeline = self.intake.open_pipeline()?;
        let source = BatchSource::now(IngestEndpoint::Events);
        let (ingest, sender) = (self.clone(), identity.clone());
        let decode =
            move |bytes: &[u8]| ingest.decode(&sender, wanted.min_durability, source, bytes);
        let decoded = self
            .intake
            .decode(wanted.compression, body, decode)
            .await???;
        let DecodedBody {
            decoder,
            malformed,
            bytes,
            shares,
        } = decoded;
        pipeline.histograms().request(source.endpoint, bytes);
        let counts = &self.intake.config.repairs;
        let (mut batch, repairs) = decoder.finish(counts, identity, malformed.len(), bytes);
        batch.request = span.ids();
        span.lap("decode");
        span.count("runtraced.bytes", bytes);
        span.count("runtraced.events", batch.events.len());
        let refused = batch.refused.len() + malformed.len();
        let _refusals = self.receive.take_refusals(refused)?;
        if batch.events.is_empty() && batch.refused.is_empty() {
            return Ok(EventsAnswer::new(malformed, nothing(), repairs));
        }
        let ticket = admit(&pipeline, batch, wanted.min_durability)?;
        span.lap("admit");
        drop((pipeline, shares));
        // After a timeout the batch is still written. Sending it again is harmless.
        let outcome = settled(ticket, self.intake.config.submit_timeout).await?;
        note_settled(span, &outcome);
        Ok(EventsAnswer::new(malformed, outcome, repairs))
    }

    fn decode(
        &self,
        sender: &Identity,
        min_durability: Durability,
        source: BatchSource,
        bytes: &[u8],
    ) -> Result<DecodedBody, EventsError> {
        let written = WrittenEvents::find(bytes, self.max_events)?;
        let mut shares = vec![self.receive.try_take_structure(written.count)?];
        if min_durability == Durability::Committed {
            shares.push(self.receive.try_take_committed(bytes.len())?);
        }
        let mut decoder = BatchDecoder::new(&self.preparer, self.fields, sender, source);
        let mut malformed = Vec::new();
        written.each(|number, text| match text.and_then(|text| self.read(text)) {
            Ok(read) => {
                decoder.add_surrogates(read.surrogates);
                decoder.push(number, read.event);
            }
            Err(reason) => malformed.push(RefusedEvent::malformed(number, reason)),
        })?;
        Ok(DecodedBody {
            decoder,
            malformed,
            bytes: bytes.len(),
            shares,
        })
    }

    /// Reads one event. The reason why a text is none may quote it.
    fn read(&self, text: &str) -> Result<WrittenEvent, String> {
        event_from_line(text).map_err(|error| {
            let reason = match error.line {
                0 | 1 => format!("column {}: {}", error.column, error.reason),
                // Of an element of an array.
                line => format!("line {line}, column {}: {}", error.column, error.reason),
            };
            let reason = self.preparer.quoting(reason);
            match reason.char_indices().nth(MAX_REASON_CHARS) {
                Some((end, _)) => format!("{}…", &reason[..end]),
                None => reason,
            }
        })
    }
}

/// The outcome of a batch without events.
fn nothing() -> BatchOutcome {
    BatchOutcome {
        durability: Durability::Committed,
        committed: 0,
        duplicate: 0,
        spooled: 0,
        refused: Vec::new(),
    }
}
