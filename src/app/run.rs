//! Runs the daemon: starts every part, waits, shuts down.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::decisions::decision_source;
use super::drain::{Phases, drain};
use super::endpoints::{Endpoints, GRPC, HTTP};
use super::error::AppError;
use super::grpc::GrpcServer;
use super::helpers::{Helpers, WriteLoad, unexpected_end};
use super::http::{HttpIngest, http_routes};
use super::open::RequestLimits;
use super::shared::SharedState;
use super::{Addresses, App, DaemonCore, Sockets};
use crate::ingest::refuse_excess_request;
use crate::listen::{self, RequestLimit};
use crate::own_spans::WorkSpan;
use crate::pipeline::{Gate, Pipeline};
use crate::store::ShardCounts;
use crate::telemetry::{Metrics, ServerSources, router};
use crate::web;

/// The running parts that the shutdown needs.
struct RunningParts {
    phases: Phases,
    /// Open streams and calls.
    tasks: TaskTracker,
    servers: JoinSet<Result<(), AppError>>,
    writers: Vec<JoinHandle<()>>,
    helpers: Helpers,
    counts: Arc<[Arc<ShardCounts>]>,
    gates: Vec<Arc<Gate>>,
}

impl App {
    /// Serves until `shutdown`, then settles all admitted events.
    ///
    /// # Errors
    /// When a part of the daemon failed, or when some events were not settled in time.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
        let Self {
            addresses,
            core,
            sockets,
            private,
        } = self;
        let (own_spans, sender) = core.own_spans()?;
        let shared = SharedState::new(core.servers.len(), own_spans);
        let mut running = core.start(sockets, addresses, &shared).await?;
        let private = private.map(|private| {
            let stop = running.phases.stop.clone();
            tokio::spawn(private.supervise(stop))
        });
        let failed = tokio::select! {
            () = shutdown => None,
            error = running.first_failure() => Some(error),
        };
        tracing::info!("shutting down");
        shared.readiness.shut_down();
        let deadline = Instant::now() + core.config.drain_timeout;
        let gates = running.gates.clone();
        let mut span = shared.own_spans.work("drain");
        span.always();
        let in_flight = running.shut_down(deadline, &mut span).await;
        span.end((in_flight > 0).then_some("unsettled"));
        sender.finish(deadline).await;
        if let Some(private) = private {
            private
                .await
                .map_err(|error| AppError::Task(error.to_string()))??;
        }
        match (failed, in_flight) {
            (Some(error), _) => Err(error),
            (None, 0) => {
                core.report_end(gates.iter().find_map(|gate| gate.spool_problem()));
                Ok(())
            }
            (None, events) => Err(AppError::Unsettled(events)),
        }
    }
}

impl DaemonCore {
    /// Logs what the next daemon must do.
    fn report_end(&self, spool_problem: Option<&'static str>) {
        let spools = self
            .servers
            .iter()
            .filter_map(|server| server.spool.as_ref());
        let spooled: u64 = spools.map(|spool| spool.usage().events).sum();
        match (spooled, spool_problem) {
            (0, _) => tracing::info!("all settled"),
            (events, None) => {
                tracing::info!(events, "events stay in the spool for the next daemon");
            }
            // WARN: nothing is lost, but the next daemon will not do better by itself.
            (events, Some(problem)) => {
                tracing::warn!(events, problem, "events stay in the spool");
            }
        }
    }

    /// Starts writers, servers and helpers.
    async fn start(
        &self,
        sockets: Sockets,
        addresses: Addresses,
        shared: &SharedState,
    ) -> Result<RunningParts, AppError> {
        let phases = Phases::default();
        let tasks = TaskTracker::new();
        let mut helpers = Helpers::new(phases.stop.clone());
        let (reloader, tls) = sockets.tls.unzip();
        if let Some(reloader) = reloader {
            helpers.reload_certificates(reloader);
        }
        let endpoints = Endpoints::new(&self.config, tls);
        let writers = self.writers().await;
        let (pipeline, writers) = Pipeline::start(
            self.pipeline_config(writers, &phases, shared),
            &phases.writer_ended,
        )?;
        let (counts, gates) = (pipeline.counts(), pipeline.gates());
        let histograms = pipeline.histograms();
        let metrics = self.metrics(shared, &pipeline, &endpoints);
        let pipeline = Arc::new(pipeline);
        let intake = self.intake(&pipeline, shared, &phases, &tasks);
        let otlp = self.otlp_ingest(intake.clone(), shared)?;
        let authenticator = self.authenticator(shared, addresses);
        let ingest_limit = RequestLimit::new(self.config.max_streams, refuse_excess_request);
        let requests = RequestLimits::new(ingest_limit);
        let web_config = self.web_config(authenticator.clone(), &phases, addresses)?;
        let sessions = web_config.sessions.clone();
        let (web, approvals) = web::routes(web_config);
        let decisions = decision_source(approvals);
        let native = self.native_ingest(pipeline, shared, &phases, &tasks, decisions);
        let http_ingest = HttpIngest {
            otlp: otlp.clone(),
            events: self.events_ingest(intake, &native),
        };
        let grpc = GrpcServer {
            endpoint: endpoints.open(GRPC, sockets.grpc),
            requests: requests.clone(),
            native,
            otlp,
            authenticator: authenticator.clone(),
        };
        // The servers own the pipeline and the helpers do not, so the pipeline ends with
        // the servers.
        let mut servers = JoinSet::new();
        let readiness = shared.readiness.clone();
        servers.spawn(grpc.start(readiness, phases.draining.clone()).await?);
        let http = http_routes(
            router(metrics),
            web,
            http_ingest,
            addresses.grpc,
            requests,
            authenticator,
            sessions,
        );
        let endpoint = endpoints.open(HTTP, sockets.http);
        helpers.spawn(listen::serve(endpoint, http, phases.stop.clone()));
        // The first server has the keys of the store.
        let keys = self.servers[0].options.clone();
        helpers.refresh_keys(&self.config, keys, shared.keys.clone());
        for (number, (server, gate)) in self.servers.iter().zip(&gates).enumerate() {
            let others = gates
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != number);
            let load = WriteLoad {
                gate: gate.clone(),
                others: others.map(|(_, gate)| gate.clone()).collect(),
                histograms: histograms.clone(),
            };
            let readiness = shared.readiness.of_server(number, server.spool.clone());
            helpers.maintain_database(&self.config, server, readiness, shared, load);
        }
        Ok(RunningParts {
            phases,
            tasks,
            servers,
            writers,
            helpers,
            counts,
            gates,
        })
    }

    fn metrics(
        &self,
        shared: &SharedState,
        pipeline: &Pipeline,
        endpoints: &Endpoints,
    ) -> Arc<Metrics> {
        Arc::new(Metrics {
            shards: pipeline.counts(),
            repairs: shared.repairs.clone(),
            otlp: shared.spans.clone(),
            masker: self.masker.clone(),
            keys: shared.keys.clone(),
            sweeps: shared.sweeps.clone(),
            reaped: shared.reaped.clone(),
            budget: (pipeline.budget(), self.config.memory_budget_bytes),
            readiness: shared.readiness.clone(),
            servers: self
                .servers
                .iter()
                .zip(pipeline.gates())
                .map(|(server, gate)| ServerSources {
                    place: server.place,
                    spool: server.spool.clone(),
                    gate,
                })
                .collect(),
            endpoints: endpoints.counts.clone(),
            histograms: pipeline.histograms(),
            own_spans: shared.own_spans.counts(),
        })
    }
}

impl RunningParts {
    /// Waits for a part that ends before shutdown.
    async fn first_failure(&mut self) -> AppError {
        tokio::select! {
            Some(ended) = self.servers.join_next() => unexpected_end(ended),
            error = self.helpers.first_ended() => error,
            () = self.phases.writer_ended.cancelled() => {
                AppError::Task("a writer thread ended unexpectedly".into())
            }
        }
    }

    /// Settles admitted events, ends every part, and returns the number of events that
    /// are not settled.
    async fn shut_down(self, deadline: Instant, span: &mut WorkSpan) -> u64 {
        drain(
            &self.phases,
            self.servers,
            &self.tasks,
            self.writers,
            deadline,
            span,
        )
        .await;
        self.phases.stop.cancel();
        let in_flight = ShardCounts::sum(&self.counts).in_flight();
        self.helpers.abort().await;
        in_flight
    }
}
