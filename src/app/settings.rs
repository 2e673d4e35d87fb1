//! Translates the configuration into the settings of each layer.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::drain::Phases;
use super::error::AppError;
use super::shared::SharedState;
use super::stored_events::{frame_decoder, render_event};
use super::{Addresses, DaemonCore, DaemonServer};
use crate::auth::Authenticator;
use crate::config::Config;
use crate::event::FieldLimits;
use crate::histograms::Histograms;
use crate::ingest::events::EventsIngest;
use crate::ingest::native::{
    DecisionSource, NativeIngest, ReceiveBudget, ReceiveLimits, StreamLimits, encode_frame,
};
use crate::ingest::otlp::{MapOptions, OtlpConfig, OtlpIngest};
use crate::ingest::{Intake, IntakeConfig, Preparer};
use crate::pipeline::{BatchLimits, Pipeline, PipelineConfig, ServerConfig, SpoolConfig};
use crate::store::{WhenAway, WriterConfig};
use crate::web::{JwtKeys, OpenTo, WebConfig, WebSessions};

/// The events of an OTLP request may take this many times its size, because each event
/// repeats ids and resource attributes.
const OTLP_EXPANSION_FACTOR: usize = 4;

impl DaemonCore {
    /// `writers`: how many each server has.
    pub(super) fn pipeline_config(
        &self,
        writers: Vec<usize>,
        phases: &Phases,
        shared: &SharedState,
    ) -> PipelineConfig {
        let config = &self.config;
        let histograms = Arc::<Histograms>::default();
        let server = |(server, writers): (&DaemonServer, usize)| {
            let spool = server.spool.clone().zip(config.spool.as_ref());
            ServerConfig {
                writers,
                writer: WriterConfig {
                    database: server.options.clone(),
                    instance: self.instance,
                    run_timeout_ms: run_timeout_ms(config),
                    commit_timeout: config.commit_timeout,
                    when_away: WhenAway::Wait,
                    render: render_event,
                    give_up: phases.give_up.clone(),
                    histograms: histograms.clone(),
                    own_spans: shared.own_spans.clone(),
                },
                spool: spool.map(|(spool, settings)| SpoolConfig {
                    spool,
                    encode: encode_frame,
                    decode: frame_decoder(config.contents),
                    after: settings.after,
                }),
                span: server.span(),
            }
        };
        PipelineConfig {
            servers: self.servers.iter().zip(writers).map(server).collect(),
            memory_budget_bytes: config.memory_budget_bytes,
            limits: BatchLimits {
                max_events: config.batch_events,
                max_bytes: config.batch_bytes,
                linger: config.linger,
            },
            draining: phases.draining.clone(),
            histograms,
        }
    }

    /// The intake of the HTTP endpoint and of OTLP. It holds the pipeline weakly, because the
    /// HTTP server outlives the pipeline.
    pub(super) fn intake(
        &self,
        pipeline: &Arc<Pipeline>,
        shared: &SharedState,
        phases: &Phases,
        tasks: &TaskTracker,
    ) -> Intake {
        let config = &self.config;
        Intake::new(IntakeConfig {
            pipeline: Arc::downgrade(pipeline),
            repairs: shared.repairs.clone(),
            own_spans: shared.own_spans.clone(),
            max_message_bytes: config.max_message_bytes,
            body_budget_bytes: config.memory_budget_bytes,
            receive_timeout: config.receive_timeout,
            submit_timeout: config.submit_timeout,
            draining: phases.draining.clone(),
            tasks: tasks.clone(),
        })
    }

    /// The OTLP handler.
    pub(super) fn otlp_ingest(
        &self,
        intake: Intake,
        shared: &SharedState,
    ) -> Result<OtlpIngest, AppError> {
        let config = &self.config;
        OtlpIngest::new(OtlpConfig {
            intake,
            preparer: Preparer::new(self.masker.clone(), config.contents),
            counts: shared.spans.clone(),
            options: MapOptions {
                max_field_bytes: config.max_field_bytes,
                keep_foreign_spans: config.keep_foreign_spans,
                tenant: None,
                dialects: config.otlp_dialects.clone(),
                own_instance: config
                    .otel
                    .as_ref()
                    .map(|_| self.instance.to_string().into()),
                max_events_bytes: config
                    .max_message_bytes
                    .saturating_mul(OTLP_EXPANSION_FACTOR),
            },
        })
        .map_err(|error| AppError::Task(error.to_string()))
    }

    /// The handler of events as JSON. It shares limits and budgets with the native protocol.
    pub(super) fn events_ingest(&self, intake: Intake, native: &NativeIngest) -> EventsIngest {
        EventsIngest {
            intake,
            preparer: native.preparer.clone(),
            fields: native.fields,
            max_events: self.config.max_message_events,
            receive: native.receive.clone(),
        }
    }

    /// The check of keys.
    pub(super) fn authenticator(
        &self,
        shared: &SharedState,
        addresses: Addresses,
    ) -> Authenticator {
        let authenticator = Authenticator::new(shared.keys.clone(), self.config.require_keys);
        match addresses.http.ip().is_loopback() {
            true => authenticator.on_loopback(),
            false => authenticator,
        }
    }

    /// The page and its API.
    pub(super) fn web_config(
        &self,
        authenticator: Authenticator,
        phases: &Phases,
        addresses: Addresses,
    ) -> Result<WebConfig, AppError> {
        let config = &self.config;
        let jwt = config.jwt_keys.as_ref().map(|file| {
            let failed = |reason: String| AppError::JwtKeys {
                file: file.clone(),
                reason,
            };
            let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
            JwtKeys::read(&text).map_err(|error| failed(error.to_string()))
        });
        Ok(WebConfig {
            databases: self
                .servers
                .iter()
                .map(|server| server.options.clone())
                .collect(),
            authenticator,
            open_to: match addresses.http.ip().is_loopback() && !config.require_keys {
                false => OpenTo::Nobody,
                true if config.open_page => OpenTo::ThisMachine,
                true => OpenTo::ThisUser,
            },
            tls: config.tls.is_some(),
            read_role: config.read_role.clone(),
            jwt: jwt.transpose()?,
            sessions: WebSessions::default(),
            stop: phases.draining.clone(),
        })
    }

    /// The handler of the native protocol `runtraced.v1`.
    pub(super) fn native_ingest(
        &self,
        pipeline: Arc<Pipeline>,
        shared: &SharedState,
        phases: &Phases,
        tasks: &TaskTracker,
        decisions: DecisionSource,
    ) -> NativeIngest {
        let config = &self.config;
        NativeIngest {
            pipeline,
            preparer: Preparer::new(self.masker.clone(), config.contents),
            repairs: shared.repairs.clone(),
            own_spans: shared.own_spans.clone(),
            submit_timeout: config.submit_timeout,
            limits: StreamLimits {
                batches_in_flight: config.stream_batches,
                ack_timeout: config.receive_timeout,
            },
            fields: FieldLimits {
                bytes: config.max_field_bytes,
                json_depth: config.max_json_depth,
                limit_json_size: true,
            },
            receive: ReceiveBudget::new(
                ReceiveLimits {
                    message_bytes: config.max_message_bytes,
                    message_events: config.max_message_events,
                    timeout: config.receive_timeout,
                },
                config.memory_budget_bytes,
            ),
            decisions,
            draining: phases.draining.clone(),
            tasks: tasks.clone(),
        }
    }
}

fn run_timeout_ms(config: &Config) -> i64 {
    i64::try_from(config.run_timeout.as_millis()).unwrap_or(i64::MAX)
}
