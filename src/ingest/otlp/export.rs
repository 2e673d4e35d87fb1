//! Handles one request of either protocol: decode, admit, wait, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;

use super::answer::{Accepted, ExportError};
use super::decode::{Decoded, Encoding, decode};
use super::wire::{Schema, SchemaError};
use super::{MapOptions, OtlpCounts, Signal};
use crate::auth::Identity;
use crate::histograms::{BatchSource, IngestEndpoint};
use crate::ingest::body::{Compression, ReadBody};
use crate::ingest::intake::Intake;
use crate::ingest::prepare::Preparer;
use crate::ingest::settle::{admit, settled};
use crate::ingest::told::note_settled;
use crate::own_spans::{OwnSpans, WorkSpan};
use crate::pipeline::{Batch, Durability};

/// The timeout of a request whose client names no deadline. Exporters give up
/// after 10 s (`OTEL_EXPORTER_OTLP_TIMEOUT`), and many of them then drop the
/// request. An error before that makes them retry.
const DEFAULT_CLIENT_TIMEOUT: Duration = Duration::from_secs(8);
/// The structure of a request may take this multiple of the bytes of the
/// largest message.
const STRUCTURE_PER_MESSAGE_BYTE: usize = 2;

/// The settings of the OTLP endpoints.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// Takes the requests.
    pub intake: Intake,
    /// Prepares events.
    pub preparer: Preparer,
    /// Counts the outcomes of spans.
    pub counts: Arc<OtlpCounts>,
    /// The options of the mapping.
    pub options: MapOptions,
}

/// A request whose body was read.
pub struct OtlpBody {
    /// Where it arrived.
    pub endpoint: IngestEndpoint,
    /// What it holds.
    pub signal: Signal,
    /// How that is encoded.
    pub encoding: Encoding,
    /// How the body is compressed.
    pub compression: Compression,
    /// The body.
    pub body: ReadBody,
}

/// Handles OTLP requests. The gRPC and the HTTP endpoint share it.
#[derive(Clone, Debug)]
pub struct OtlpIngest {
    config: Arc<OtlpConfig>,
    schema: Arc<Schema>,
}

impl OtlpIngest {
    /// A handler with these settings.
    ///
    /// # Errors
    /// If the descriptors of the protocol are unusable, which is a bug of the build.
    pub fn new(config: OtlpConfig) -> Result<Self, SchemaError> {
        Ok(Self {
            schema: Arc::new(Schema::new()?),
            config: Arc::new(config),
        })
    }

    /// Tells of requests.
    #[must_use]
    pub fn own_spans(&self) -> &OwnSpans {
        &self.config.intake.config.own_spans
    }

    /// Reads the body of one message. `framing_bytes` is the size of the
    /// protocol's frame around the message.
    ///
    /// # Errors
    /// The error for the client.
    pub async fn read_body(
        &self,
        identity: &Identity,
        body: Body,
        framing_bytes: usize,
    ) -> Result<ReadBody, ExportError> {
        let intake = &self.config.intake;
        Ok(intake.read_body(identity, body, framing_bytes).await??)
    }

    /// Handles one request. Returns when all its events are durable or refused.
    ///
    /// # Errors
    /// The error for the client.
    pub async fn export(
        &self,
        identity: &Identity,
        body: OtlpBody,
        deadline: Option<Duration>,
        span: &mut WorkSpan,
    ) -> Result<Accepted, ExportError> {
        let settling = self.settle(identity, body, deadline, span);
        let tasks = &self.config.intake.config.tasks;
        tasks.track_future(settling).await
    }

    async fn settle(
        &self,
        identity: &Identity,
        body: OtlpBody,
        deadline: Option<Duration>,
        span: &mut WorkSpan,
    ) -> Result<Accepted, ExportError> {
        let source = BatchSource::now(body.endpoint);
        let config = &self.config;
        let pipeline = config.intake.open_pipeline()?;
        let (signal, body_bytes) = (body.signal, body.body.bytes.len());
        let options = MapOptions {
            tenant: identity.tenant(),
            ..config.options.clone()
        };
        let histograms = pipeline.histograms();
        let (mut decoded, message_bytes) = self.decode(options, body).await?;
        histograms.request(source.endpoint, message_bytes);
        // Otherwise two daemons that send each other their spans would make new ones forever.
        if decoded.is_of_daemons() {
            span.mute();
        }
        span.lap("decode");
        span.fact("runtraced.signal", signal.record());
        span.count("runtraced.bytes", message_bytes);
        span.count("runtraced.events", decoded.mapped.events.len());
        let mut batch = Batch {
            client: identity.connection(),
            events: std::mem::take(&mut decoded.mapped.events),
            refused: Vec::new(),
            source,
            request: span.ids(),
        };
        if let Some(tenant) = identity.tenant() {
            let events = batch.events.iter_mut();
            events.for_each(|(_, event)| event.assign_tenant(tenant));
        }
        // Records that make no events have a cost too.
        let records = usize::try_from(decoded.records).unwrap_or(usize::MAX);
        identity.charge(batch.events.len().max(records), || {
            batch.weight_bytes().max(body_bytes)
        });
        let refused = if batch.events.is_empty() {
            self.count(signal, &decoded);
            Vec::new()
        } else {
            let ticket = admit(&pipeline, batch, Durability::Spooled)?;
            drop(pipeline);
            span.lap("admit");
            // An admitted batch is written even if this client times out.
            self.count(signal, &decoded);
            let timeout = deadline.unwrap_or(DEFAULT_CLIENT_TIMEOUT);
            let timeout = timeout.min(config.intake.config.submit_timeout);
            let outcome = settled(ticket, timeout).await?;
            note_settled(span, &outcome);
            outcome.refused
        };
        Ok(Accepted::new(signal, &decoded, &refused))
    }

    /// Decompresses, decodes and maps a body. Returns the size of the message, too.
    async fn decode(
        &self,
        options: MapOptions,
        request: OtlpBody,
    ) -> Result<(Decoded, usize), ExportError> {
        let OtlpBody {
            signal,
            encoding,
            compression,
            body,
            ..
        } = request;
        let intake = &self.config.intake;
        let limit = intake.config.max_message_bytes;
        let structure = limit.saturating_mul(STRUCTURE_PER_MESSAGE_BYTE);
        let schema = self.schema.clone();
        let preparer = self.config.preparer.clone();
        let work = move |bytes: &[u8]| {
            let mut decoded = decode(&schema, signal, encoding, bytes, &options, structure)?;
            decoded.mapped.prepare(&preparer);
            Ok::<_, ExportError>((decoded, bytes.len()))
        };
        intake.decode(compression, body, work).await??
    }

    fn count(&self, signal: Signal, decoded: &Decoded) {
        let config = &self.config;
        config.counts.add(signal, &decoded.mapped.outcomes);
        let unknown = &decoded.mapped.not_understood;
        for scope in config.counts.add_not_understood(unknown, Instant::now()) {
            tracing::warn!(
                scope,
                "spans of this scope look like an agent's work but were not understood: see \
                 `runtraced explain`, and add a dialect with --otlp-dialects"
            );
        }
        let repairs = &config.intake.config.repairs;
        repairs.add(decoded.mapped.repairs);
        let truncated = decoded.mapped.truncated;
        repairs.add_from_wire(decoded.repairs, truncated);
    }
}
