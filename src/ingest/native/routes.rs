//! The HTTP routes of the `TraceIngest` methods.

use std::future::ready;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::routing::post;
use bytes::{BufMut as _, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::Status;
use tonic::codec::{Codec as _, EncodeBody, SingleMessageCompressionOverride};
use tonic_prost::ProstCodec;

use super::handler::NativeIngest;
use super::receive::{Messages, WhenFull};
use crate::auth::Identity;
use crate::histograms::IngestEndpoint;
use crate::ingest::body::{Compression, FRAME_HEADER_BYTES};
use crate::ingest::otlp::grpc_timeout;
use crate::ingest::told::{begin_request, code_word, end_answered, parent_of};
use crate::proto;

const STREAM: &str = "/runtraced.v1.TraceIngest/Stream";
const SUBMIT: &str = "/runtraced.v1.TraceIngest/Submit";
const WATCH: &str = "/runtraced.v1.TraceIngest/WatchApprovals";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The routes of the service.
pub fn routes(ingest: &NativeIngest) -> Router {
    let (streaming, submitting, watching) = (ingest.clone(), ingest.clone(), ingest.clone());
    Router::new()
        .route(
            STREAM,
            post(move |request| answer(stream(streaming.clone(), request))),
        )
        .route(
            SUBMIT,
            post(move |request| answer(submit(submitting.clone(), request))),
        )
        .route(
            WATCH,
            post(move |request| answer(watch(watching.clone(), request))),
        )
}

async fn answer(call: impl Future<Output = Result<Body, Status>>) -> Response<Body> {
    match call.await {
        Ok(body) => {
            let mut response = Response::new(body);
            response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
            response
        }
        Err(status) => status.into_http(),
    }
}

async fn stream(ingest: NativeIngest, request: Request) -> Result<Body, Status> {
    let (head, body) = request.into_parts();
    let identity = Identity::of(&head.extensions)?;
    let messages = messages(&ingest, &head.headers, body, WhenFull::Wait)?;
    let parent = parent_of(&ingest.own_spans, &head.headers);
    let acks = ingest.stream(identity, messages, parent)?;
    let encoder = ProstCodec::<_, proto::StreamRequest>::default().encoder();
    let uncompressed = SingleMessageCompressionOverride::default();
    Ok(Body::new(EncodeBody::new_server(
        encoder,
        acks,
        None,
        uncompressed,
        None,
    )))
}

async fn watch(ingest: NativeIngest, request: Request) -> Result<Body, Status> {
    let (head, body) = request.into_parts();
    let identity = Identity::of(&head.extensions)?;
    let messages = messages(&ingest, &head.headers, body, WhenFull::Refuse)?;
    let decisions = ingest.watch_approvals(identity, messages).await?;
    let encoder = ProstCodec::<_, proto::WatchApprovalsRequest>::default().encoder();
    let uncompressed = SingleMessageCompressionOverride::default();
    Ok(Body::new(EncodeBody::new_server(
        encoder,
        decisions,
        None,
        uncompressed,
        None,
    )))
}

async fn submit(ingest: NativeIngest, request: Request) -> Result<Body, Status> {
    let (head, body) = request.into_parts();
    let identity = Identity::of(&head.extensions)?;
    let mut span = begin_request(&ingest.own_spans, IngestEndpoint::Submit, &head.headers);
    let mut messages = messages(&ingest, &head.headers, body, WhenFull::Refuse)?;
    let timeout = grpc_timeout(&head.headers).unwrap_or(Duration::MAX);
    let answer = ingest
        .submit(&identity, &mut messages, timeout, &mut span)
        .await;
    end_answered(span, &answer, |status| code_word(status.code()));
    let answer = answer?;
    let len = answer.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + len);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    frame.put(&*answer.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(ready(Some(Ok(trailers))));
    Ok(Body::new(body))
}

fn messages(
    ingest: &NativeIngest,
    headers: &HeaderMap,
    body: Body,
    when_full: WhenFull,
) -> Result<Messages, Status> {
    let named = headers.get("grpc-encoding");
    let compression =
        Compression::named(named.map_or(&b""[..], HeaderValue::as_bytes)).map_err(|error| {
            let mut status = Status::unimplemented(error.to_string());
            let accepted = tonic::metadata::MetadataValue::from_static(Compression::ACCEPTED);
            status
                .metadata_mut()
                .insert("grpc-accept-encoding", accepted);
            status
        })?;
    Ok(Messages::new(
        body,
        compression,
        ingest.receive.clone(),
        when_full,
    ))
}
