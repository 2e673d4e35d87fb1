//! Beneath the client: calls with any bytes, streams in the test's own hands,
//! and a proxy that can count and cut.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{BufMut as _, Bytes};
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{Event, StreamRequest, StreamResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstDecoder;

/// A connection of its own.
pub async fn channel(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

/// A stream that the test drives by hand.
pub struct Exchange {
    /// Dropping it closes the client's half.
    pub requests: mpsc::Sender<StreamRequest>,
    pub acks: Streaming<StreamResponse>,
}

impl Exchange {
    pub async fn open(channel: Channel) -> Self {
        Self::with(TraceIngestClient::new(channel)).await
    }

    pub async fn with(mut client: TraceIngestClient<Channel>) -> Self {
        let (requests, outgoing) = mpsc::channel(1);
        let response = client.stream(ReceiverStream::new(outgoing)).await.unwrap();
        Self {
            requests,
            acks: response.into_inner(),
        }
    }

    pub async fn send(&self, sequence: u64, events: Vec<Event>) {
        let request = StreamRequest {
            sequence,
            events,
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }

    /// Closes the client's half and takes all acks that are still to come.
    pub async fn close(self) -> Result<Vec<StreamResponse>, (Vec<StreamResponse>, Status)> {
        let Self { requests, mut acks } = self;
        drop(requests);
        let mut taken = Vec::new();
        loop {
            match acks.message().await {
                Ok(Some(ack)) => taken.push(ack),
                Ok(None) => return Ok(taken),
                Err(status) => return Err((taken, status)),
            }
        }
    }
}

struct RawCodec<R>(PhantomData<R>);
struct RawEncoder;

impl<R: prost::Message + Default + Send + 'static> Codec for RawCodec<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = RawEncoder;
    type Decoder = ProstDecoder<R>;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<R> {
        ProstDecoder::new(BufferSettings::default())
    }
}

impl Encoder for RawEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, frame: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.put(message);
        Ok(())
    }
}

/// `Submit` with a message of any bytes.
pub async fn submit_bytes(
    channel: Channel,
    message: Bytes,
) -> Result<runtraced::proto::SubmitResponse, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/runtraced.v1.TraceIngest/Submit");
    let codec = RawCodec(PhantomData);
    Ok(grpc
        .unary(Request::new(message), path, codec)
        .await?
        .into_inner())
}

/// `Stream` with messages of any bytes; all acks, and how it ended.
pub async fn stream_bytes(
    channel: Channel,
    messages: Vec<Bytes>,
) -> (Vec<StreamResponse>, Result<(), Status>) {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/runtraced.v1.TraceIngest/Stream");
    let request = Request::new(tokio_stream::iter(messages));
    let response = grpc.streaming(request, path, RawCodec(PhantomData)).await;
    let mut acks: Streaming<StreamResponse> = response.unwrap().into_inner();
    let mut taken = Vec::new();
    loop {
        match acks.message().await {
            Ok(Some(ack)) => taken.push(ack),
            Ok(None) => return (taken, Ok(())),
            Err(status) => return (taken, Err(status)),
        }
    }
}

/// A TCP proxy in front of the daemon.
pub struct Proxy {
    pub url: String,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Passes everything on to `grpc_url` for one connection.
    pub async fn start(grpc_url: &str) -> Self {
        let target = grpc_url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let count = sent.clone();
        let task = tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let daemon = TcpStream::connect(target).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_daemon, mut to_daemon) = daemon.into_split();
            let up = async {
                let mut buffer = vec![0; 16 << 10];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    if to_daemon.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                    count.fetch_add(read as u64, Relaxed);
                }
            };
            let down = tokio::io::copy(&mut from_daemon, &mut to_client);
            tokio::select! {
                () = up => {}
                _ = down => {}
            }
        });
        Self { url, sent, task }
    }

    /// Bytes that the daemon's side has taken from the client so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Cuts the connection, as when the client's machine vanishes.
    pub async fn cut(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
