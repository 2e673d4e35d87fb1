//! OTLP over gRPC: the `Export` methods of the three services.
//!
//! This module reads the gRPC frame itself instead of using generated code. So
//! a message is limited before it is decoded, repaired if possible, and
//! otherwise answered with the error that OTLP specifies.

use std::future::ready;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::routing::post;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, Status};

use super::answer::ExportError;
use super::export::OtlpBody;
use super::{Encoding, OtlpIngest, Signal};
use crate::auth::Identity;
use crate::histograms::IngestEndpoint;
use crate::ingest::body::{BodyError, Compression, FRAME_HEADER_BYTES};
use crate::ingest::settle::Unsettled;
use crate::ingest::told::{begin_request, code_word, end_answered};
use crate::own_spans::WorkSpan;

const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: &str = "grpc-status";
/// The share of a client's deadline that is spent on the request. The rest is
/// for the answer to reach the client.
const DEADLINE_SHARE: f64 = 0.9;

/// The routes of the three services. The fallback answers every other request.
pub fn grpc_routes(ingest: &OtlpIngest) -> Router {
    let mut router = Router::new().fallback(wrong_service);
    for signal in Signal::ALL {
        let ingest = ingest.clone();
        let handler = move |request: Request| async move {
            let spans = ingest.own_spans();
            let mut span = begin_request(spans, IngestEndpoint::OtlpGrpc, request.headers());
            let answer = export(&ingest, signal, request, &mut span).await;
            end_answered(span, &answer, |error| code_word(error.code()));
            match answer {
                Ok(message) => success(message),
                Err(error) => failure(error),
            }
        };
        router = router.route(signal.grpc_path(), post(handler));
    }
    router
}

async fn export(
    ingest: &OtlpIngest,
    signal: Signal,
    request: Request,
    span: &mut WorkSpan,
) -> Result<Vec<u8>, ExportError> {
    let (head, body) = request.into_parts();
    let identity = Identity::of(&head.extensions)?;
    identity.check_quota().map_err(Unsettled::from)?;
    let named = head.headers.get("grpc-encoding");
    let compression = Compression::named(named.map_or(&b""[..], HeaderValue::as_bytes))?;
    let deadline = grpc_timeout(&head.headers);
    let mut body = ingest
        .read_body(&identity, body, FRAME_HEADER_BYTES)
        .await?;
    span.lap("receive");
    let (compressed, message) = unframe(&body.bytes).ok_or(BodyError::Frame)?;
    body.bytes = message;
    let compression = match compressed {
        true => compression,
        false => Compression::Identity,
    };
    let accepted = ingest
        .export(
            &identity,
            OtlpBody {
                endpoint: IngestEndpoint::OtlpGrpc,
                signal,
                encoding: Encoding::Protobuf,
                compression,
                body,
            },
            deadline,
            span,
        )
        .await?;
    Ok(accepted.encode(signal, Encoding::Protobuf))
}

/// Splits a body into its only message and whether that is compressed. `None`
/// if the body is not exactly one frame.
fn unframe(body: &Bytes) -> Option<(bool, Bytes)> {
    let (header, message) = body.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let compressed = match header[0] {
        0 => false,
        1 => true,
        _ => return None,
    };
    let len = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    (message.len() == usize::try_from(len).ok()?)
        .then(|| (compressed, body.slice(FRAME_HEADER_BYTES..)))
}

/// The time left for a call: [`DEADLINE_SHARE`] of the client's `grpc-timeout`.
#[must_use]
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get("grpc-timeout").and_then(shortened_timeout)
}

fn shortened_timeout(header: &HeaderValue) -> Option<Duration> {
    let text = header.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3_600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit.saturating_mul(count).mul_f64(DEADLINE_SHARE))
}

fn success(message: Vec<u8>) -> Response<Body> {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

fn failure(error: ExportError) -> Response<Body> {
    let mut response = error.status().into_http();
    if error.code() == Code::Unimplemented {
        // Tells the client which compressions it may use instead.
        let accepted = HeaderValue::from_static(Compression::ACCEPTED);
        response
            .headers_mut()
            .insert("grpc-accept-encoding", accepted);
    }
    response
}

/// Answers an unknown gRPC method, or a request that is meant for the HTTP port.
async fn wrong_service(request: Request) -> Response<Body> {
    if is_grpc(request.headers()) {
        return Status::unimplemented("unknown service or method").into_http();
    }
    let reason = "this port accepts only gRPC (OTEL_EXPORTER_OTLP_PROTOCOL=grpc); \
                  send OTLP over HTTP, and events, to the HTTP port (default 4318)\n";
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

/// Whether the content type of a request is gRPC's.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(GRPC_CONTENT_TYPE.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_exactly_one_frame() {
        let framed = |bytes: &'static [u8]| unframe(&Bytes::from_static(bytes));
        let message = Bytes::from_static(b"ab");
        assert_eq!(framed(b"\0\0\0\0\x02ab"), Some((false, message.clone())));
        assert_eq!(framed(b"\x01\0\0\0\x02ab"), Some((true, message)));
        for broken in [
            &b""[..],
            b"\0\0\0\0",
            b"\x02\0\0\0\x02ab",
            b"\0\0\0\0\x03ab",
            b"\0\0\0\0\x01ab",
        ] {
            assert_eq!(framed(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_client_timeout_is_shortened() {
        let read = |text| shortened_timeout(&HeaderValue::from_static(text));
        assert_eq!(read("10S"), Some(Duration::from_secs(9)));
        assert_eq!(read("100m"), Some(Duration::from_millis(90)));
        for odd in ["", "S", "10", "10x", "-1S", "\u{e9}"] {
            assert_eq!(
                HeaderValue::from_str(odd)
                    .ok()
                    .as_ref()
                    .and_then(shortened_timeout),
                None
            );
        }
    }
}
