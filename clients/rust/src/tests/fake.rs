//! A fake daemon that answers as a script says.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use prost::Message as _;
use tokio::{io::copy_bidirectional, net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::proto::{
    ApprovalDecision, Durability, Outcome, Refusal, RefusalCode, StreamRequest, StreamResponse,
    SubmitRequest, SubmitResponse, WatchApprovalsRequest,
    trace_ingest_server::{TraceIngest, TraceIngestServer},
};

/// What the daemon does on one stream (or one Submit).
#[derive(Clone, Default)]
pub struct StreamPlan {
    /// Receives this many batches, then ends with `ending`.
    pub batches: Option<usize>,
    /// Acknowledges this many of them, the rest never.
    pub acks: Option<usize>,
    /// Acknowledges this many batches at once; 0 is like 1.
    pub ack_every: usize,
    /// Waits before each ack.
    pub delay: Duration,
    /// The status at the end; `None` is OK.
    pub ending: Option<Status>,
    /// Refuses the first event of each batch.
    pub refuse_first: bool,
    /// Adds this to each acknowledged sequence.
    pub shift_acks: u64,
}

/// See the module.
#[derive(Clone, Default)]
pub struct FakeDaemon {
    plans: Arc<Mutex<VecDeque<StreamPlan>>>,
    /// The sequences that arrived, stream by stream.
    pub streams: Arc<Mutex<Vec<Vec<u64>>>>,
    /// The events and bytes of each batch that arrived.
    pub sizes: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl FakeDaemon {
    /// Serves on a free port; after the plans it acknowledges everything.
    pub async fn start(plans: impl IntoIterator<Item = StreamPlan>) -> (Self, String) {
        let fake = Self::default();
        fake.plans.lock().unwrap().extend(plans);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceIngestServer::new(fake.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
        (fake, address)
    }

    fn next_plan(&self) -> StreamPlan {
        self.plans.lock().unwrap().pop_front().unwrap_or_default()
    }

    pub fn received(&self) -> Vec<Vec<u64>> {
        self.streams.lock().unwrap().clone()
    }
}

fn outcome(request: &StreamRequest, plan: &StreamPlan) -> Outcome {
    let refused = plan.refuse_first && !request.events.is_empty();
    let refusal = Refusal {
        sequence: request.sequence,
        index: 0,
        code: RefusalCode::MissingField.into(),
        reason: "time is required".into(),
    };
    Outcome {
        committed: request.events.len() as u64 - u64::from(refused),
        duplicate: 0,
        refused: refused.then_some(refusal).into_iter().collect(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl TraceIngest for FakeDaemon {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let plan = self.next_plan();
        let number = {
            let mut streams = self.streams.lock().unwrap();
            streams.push(Vec::new());
            streams.len() - 1
        };
        let (acks, responses) = mpsc::channel(1);
        let (streams, sizes) = (Arc::clone(&self.streams), Arc::clone(&self.sizes));
        tokio::spawn(async move {
            let mut requests = request.into_inner();
            let mut pending = Outcome::default();
            let (mut taken, mut acked) = (0, 0);
            while plan.batches.is_none_or(|batches| taken < batches) {
                let Ok(Some(request)) = requests.message().await else {
                    break;
                };
                streams.lock().unwrap()[number].push(request.sequence);
                let size = (request.events.len(), request.encoded_len());
                sizes.lock().unwrap().push(size);
                taken += 1;
                let outcome = outcome(&request, &plan);
                pending.committed += outcome.committed;
                pending.refused.extend(outcome.refused);
                let due = taken % plan.ack_every.max(1) == 0;
                if !due || plan.acks.is_some_and(|acks| acked >= acks) {
                    continue;
                }
                acked += 1;
                tokio::time::sleep(plan.delay).await;
                let ack = StreamResponse {
                    settled_sequence: request.sequence + plan.shift_acks,
                    durability: Durability::Committed.into(),
                    outcome: Some(std::mem::take(&mut pending)),
                };
                if acks.send(Ok(ack)).await.is_err() {
                    return;
                }
            }
            if let Some(status) = plan.ending {
                let _ = acks.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    type WatchApprovalsStream =
        Pin<Box<dyn Stream<Item = Result<ApprovalDecision, Status>> + Send>>;

    async fn watch_approvals(
        &self,
        _: Request<WatchApprovalsRequest>,
    ) -> Result<Response<Self::WatchApprovalsStream>, Status> {
        Err(Status::unimplemented("no person decides here"))
    }

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let plan = self.next_plan();
        self.streams.lock().unwrap().push(Vec::new());
        tokio::time::sleep(plan.delay).await;
        match plan.ending {
            Some(status) => Err(status),
            None => Ok(Response::new(SubmitResponse {
                durability: Durability::Committed.into(),
                outcome: Some(Outcome {
                    committed: request.into_inner().events.len() as u64,
                    ..Outcome::default()
                }),
            })),
        }
    }
}

/// A proxy to a daemon, whose connections a test can cut.
pub struct CutProxy {
    pub address: String,
    cut: mpsc::Sender<()>,
}

impl CutProxy {
    pub async fn to(target: &str) -> Self {
        let target = target.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (cut, mut cuts) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        let target = target.clone();
                        connections.spawn(async move {
                            let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        });
                    }
                    Some(()) = cuts.recv() => connections.shutdown().await,
                }
            }
        });
        Self { address, cut }
    }

    pub async fn cut(&self) {
        self.cut.send(()).await.unwrap();
    }
}
