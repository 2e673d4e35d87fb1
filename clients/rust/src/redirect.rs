//! The daemon's HTTP endpoint answers a gRPC call with the port that takes gRPC.

use std::time::Duration;

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

use super::{Client, codec::EncodedCodec, proto::GRPC_PORT_METADATA};

/// A call that changes nothing and needs no key.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// Whoever answers later is asked nothing more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Client {
    /// The port that takes gRPC, if the client is connected to the HTTP endpoint of a daemon.
    /// `None`: to its gRPC endpoint, or nobody says.
    pub async fn grpc_port(&self) -> Option<u16> {
        let mut grpc = Grpc::new(self.channel.clone());
        let call = async {
            grpc.ready().await.ok()?;
            let path = PathAndQuery::from_static(HEALTH_CHECK);
            let codec = EncodedCodec::<()>::default();
            let request = self.credentials.sign(Bytes::new());
            let refusal = grpc.unary(request, path, codec).await.err()?;
            refusal
                .metadata()
                .get(GRPC_PORT_METADATA)?
                .to_str()
                .ok()?
                .parse()
                .ok()
        };
        tokio::time::timeout(ANSWER_TIMEOUT, call).await.ok()?
    }
}
