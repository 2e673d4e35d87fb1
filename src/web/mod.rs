//! The page and its API, on the HTTP endpoint. docs/API.md describes both.
//!
//! Every read runs in a read-only transaction of a pool of its own, as the reader whom
//! `access` has found. The SQL is in `query/`.

mod access;
mod account;
mod agent_waits;
mod approval_watch;
mod approvals;
mod assets;
mod awaited;
mod columns;
mod decision_counts;
mod error;
mod export;
mod follower;
mod guard;
mod jwt;
mod live;
mod live_bytes;
mod live_source;
mod messages;
mod params;
mod peer;
mod run;
mod runs;
mod sessions;
mod statistics;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::access::WebReader;
pub use self::access::use_session;
use self::agent_waits::AgentWaits;
pub use self::approval_watch::{AgentDecision, ApprovalWatch, TooManyWaiting};
use self::error::WebError;
use self::export::ExportPlaces;
pub use self::jwt::{JwtKeys, NoJwtKeys};
use self::live::LiveHub;
pub use self::peer::{OpenTo, WebEnds};
pub use self::sessions::WebSessions;
use crate::auth::Authenticator;
use crate::query::{ReadPools, ReadTransaction};
use crate::store::{check_server, server_of};

/// The settings of the web.
#[derive(Debug)]
pub struct WebConfig {
    /// The servers of the store, in their order.
    pub databases: Vec<PgConnectOptions>,
    /// Checks the key of somebody who logs in.
    pub authenticator: Authenticator,
    /// Whose requests need no key.
    pub open_to: OpenTo,
    /// Whether the endpoint speaks TLS.
    pub tls: bool,
    /// The role under which everybody but the operator reads.
    pub read_role: String,
    /// The keys of tokens; `None`: there are no tokens.
    pub jwt: Option<JwtKeys>,
    /// Who is logged in.
    pub sessions: WebSessions,
    /// Ends streams.
    pub stop: CancellationToken,
}

/// What the handlers share.
#[derive(Debug)]
struct WebState {
    pools: ReadPools,
    authenticator: Authenticator,
    tls: bool,
    read_role: String,
    jwt: Option<JwtKeys>,
    sessions: WebSessions,
    live: LiveHub,
    approvals: ApprovalWatch,
    waits: AgentWaits,
    exports: ExportPlaces,
    stop: CancellationToken,
}

type Shared = axum::extract::State<Arc<WebState>>;

impl WebState {
    /// Begins to read from the first server as the sender of a request, for as long as that may take.
    async fn begin(&self, head: &Parts) -> Result<(WebReader, ReadTransaction), WebError> {
        let reader = self.reader(head)?;
        let tx = self.pools.first().begin_shared(&reader.read_as).await?;
        Ok((reader, tx))
    }

    /// The same from the server that has a run.
    async fn begin_at(
        &self,
        head: &Parts,
        run: Uuid,
    ) -> Result<(WebReader, ReadTransaction), WebError> {
        let reader = self.reader(head)?;
        let tx = self.pools.one_of(run).begin_shared(&reader.read_as).await?;
        Ok((reader, tx))
    }
}

/// Whether a path belongs to the web.
#[must_use]
pub fn is_web(path: &str) -> bool {
    const FIRST: [&str; 8] = [
        "api",
        "assets",
        "runs",
        "sessions",
        "compare",
        "approvals",
        "overview",
        "cost",
    ];
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next();
    matches!(path, "/" | "/login") || first.is_some_and(|first| FIRST.contains(&first))
}

/// Whether a path of the web answers only those who have a right.
#[must_use]
pub fn web_needs_right(path: &str) -> bool {
    path.starts_with("/api/") && !["/api/login", "/api/logout"].contains(&path)
}

/// The answer to a request for a path of the web that has no route. `is_method`: the path has one, but not for this
/// method.
#[must_use]
pub fn no_route(is_method: bool) -> Response {
    match is_method {
        true => WebError::NoMethod.into_response(),
        false => WebError::NotFound(
            "there is no such path; events and OTLP have paths that end with /v1/…",
        )
        .into_response(),
    }
}

/// The routes, and what tells of decided approvals.
pub fn routes(config: WebConfig) -> (Router, ApprovalWatch) {
    let pools = ReadPools::new(config.databases, server_of, |conn| {
        Box::pin(check_server(conn))
    });
    let approvals = ApprovalWatch::new(pools.clone());
    let state = Arc::new(WebState {
        live: LiveHub::new(pools.clone(), config.stop.clone()),
        approvals: approvals.clone(),
        pools,
        authenticator: config.authenticator,
        tls: config.tls,
        read_role: config.read_role,
        jwt: config.jwt,
        sessions: config.sessions,
        waits: AgentWaits::default(),
        exports: ExportPlaces::default(),
        stop: config.stop,
    });
    let mut router = Router::new();
    for page in [
        "/",
        "/runs",
        "/runs/{id}",
        "/sessions/{id}",
        "/compare",
        "/approvals",
        "/overview",
        "/cost",
        "/login",
    ] {
        router = router.route(page, get(assets::index));
    }
    let router = router
        .route("/assets/{hash}/{name}", get(assets::asset))
        .route("/api/me", get(account::me))
        .route("/api/login", post(account::log_in))
        .route("/api/logout", post(account::log_out))
        .route("/api/runs", get(runs::list))
        .route("/api/runs/events", get(stream::list_events))
        .route("/api/facets", get(statistics::facets))
        .route("/api/stats", get(statistics::stats))
        .route("/api/cost", get(statistics::cost))
        .route("/api/runs/{id}", get(run::skeleton))
        .route("/api/runs/{id}/payload", get(run::payload))
        .route("/api/runs/{id}/find", get(run::find))
        .route("/api/runs/{id}/conversation", get(run::run_conversation))
        .route("/api/runs/{id}/events", get(stream::run_events))
        .route("/api/runs/{id}/export", get(run::export))
        .route(
            "/api/sessions/{id}/conversation",
            get(run::session_conversation),
        )
        .route("/api/approvals", get(approvals::queue))
        .route("/api/approvals/{id}", get(awaited::one))
        .route("/api/approvals/{id}/decision", post(approvals::decide))
        .layer(from_fn_with_state(config.open_to, guard::guard))
        .with_state(state);
    (router, approvals)
}
