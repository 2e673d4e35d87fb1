//! OTLP over HTTP: protobuf and JSON at `…/v1/traces`, `…/v1/logs` and
//! `…/v1/metrics`.
//!
//! Another layer checks keys before requests get here.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tonic::Status;

use super::answer::{ExportError, encode_status};
use super::export::OtlpBody;
use super::grpc::is_grpc;
use super::{Accepted, Encoding, OtlpIngest, Signal};
use crate::auth::{Denied, Identity};
use crate::histograms::IngestEndpoint;
use crate::ingest::body::Compression;
use crate::ingest::settle::Unsettled;
use crate::ingest::told::{begin_request, code_word, end_answered};
use crate::own_spans::WorkSpan;
use crate::proto::GRPC_PORT_METADATA;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Answers every request that no other route of the HTTP port handles. `grpc`
/// is the address of the gRPC port, for clients that use the wrong one.
pub async fn answer_http(ingest: OtlpIngest, grpc: SocketAddr, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    if is_grpc(&head.headers) {
        let reason = format!("this port accepts only HTTP; send gRPC to {grpc}");
        let mut status = Status::unimplemented(reason);
        // Commands that send follow it.
        status
            .metadata_mut()
            .insert(GRPC_PORT_METADATA, grpc.port().into());
        return status.into_http();
    }
    let Some(signal) = Signal::of_http_path(head.uri.path()) else {
        return unknown(
            StatusCode::NOT_FOUND,
            "not found; send OTLP to /v1/traces, /v1/logs or /v1/metrics, with any prefix, or \
             events to /v1/events; the daemon's state is at /livez, /readyz and /metrics",
            &head.headers,
        );
    };
    if head.method != Method::POST {
        let mut response = unknown(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed; send OTLP with POST",
            &head.headers,
        );
        let allowed = HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, allowed);
        return response;
    }
    let Some(encoding) = encoding(&head.headers) else {
        let reason = format!("unknown content type; use {PROTOBUF} or {JSON}");
        let status = Status::invalid_argument(reason);
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return with_body(code, Encoding::Json, encode_status(&status, Encoding::Json));
    };
    let spans = ingest.own_spans();
    let mut span = begin_request(spans, IngestEndpoint::OtlpHttp, &head.headers);
    let wanted = (signal, encoding);
    let answer = export(&ingest, wanted, &head, body, &mut span).await;
    end_answered(span, &answer, |error| code_word(error.code()));
    match answer {
        Ok(accepted) => with_body(StatusCode::OK, encoding, accepted.encode(signal, encoding)),
        Err(error) => failure(error, encoding),
    }
}

async fn export(
    ingest: &OtlpIngest,
    (signal, encoding): (Signal, Encoding),
    head: &Parts,
    body: Body,
    span: &mut WorkSpan,
) -> Result<Accepted, ExportError> {
    let identity = Identity::of(&head.extensions)?;
    identity.check_quota().map_err(Unsettled::from)?;
    let named = head.headers.get(header::CONTENT_ENCODING);
    let compression = Compression::named(named.map_or(&b""[..], HeaderValue::as_bytes))?;
    let body = ingest.read_body(&identity, body, 0).await?;
    span.lap("receive");
    ingest
        .export(
            &identity,
            OtlpBody {
                endpoint: IngestEndpoint::OtlpHttp,
                signal,
                encoding,
                compression,
                body,
            },
            None,
            span,
        )
        .await
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next()?.trim();
    if kind.eq_ignore_ascii_case(PROTOBUF) || kind.eq_ignore_ascii_case("application/protobuf") {
        Some(Encoding::Protobuf)
    } else if kind.eq_ignore_ascii_case(JSON) {
        Some(Encoding::Json)
    } else {
        None
    }
}

/// Answers a request that failed authorization.
pub fn answer_denied(denied: Denied, headers: &HeaderMap) -> Response<Body> {
    failure(denied.into(), encoding(headers).unwrap_or(Encoding::Json))
}

fn failure(error: ExportError, encoding: Encoding) -> Response<Body> {
    let body = encode_status(&error.status(), encoding);
    let code = error.http_status();
    let mut response = with_body(code, encoding, body);
    let headers = response.headers_mut();
    if let Some(delay) = error.retry_delay() {
        // Round up: an early retry would fail again.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if code == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        let accepted = HeaderValue::from_static(Compression::ACCEPTED);
        headers.insert(header::ACCEPT_ENCODING, accepted);
    }
    response
}

fn with_body(code: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    let kind = HeaderValue::from_static(match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    });
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Answers a path or a method that OTLP does not have.
fn unknown(code: StatusCode, reason: &'static str, headers: &HeaderMap) -> Response<Body> {
    let encoding = encoding(headers).unwrap_or(Encoding::Json);
    let status = Status::unimplemented(reason);
    with_body(code, encoding, encode_status(&status, encoding))
}
