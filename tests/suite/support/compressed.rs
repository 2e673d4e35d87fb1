//! Calls with a message of any bytes, compressed in any way that is known.

use std::io::Write as _;

use axum::http::Request;
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::daemon::Daemon;

pub const SUBMIT: &str = "/runtraced.v1.TraceIngest/Submit";

/// Compresses as well as it can.
pub fn compress(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    match encoding {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        "deflate" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain, 3).unwrap(),
        _ => panic!("{encoding}"),
    }
}

/// A `Submit` compressed so; its status and message.
pub async fn submit(daemon: &Daemon, encoding: &str, plain: &[u8]) -> (String, String) {
    call(daemon, SUBMIT, encoding, &compress(encoding, plain)).await
}

/// A call with one message that is said to be compressed so.
pub async fn call(daemon: &Daemon, path: &str, encoding: &str, message: &[u8]) -> (String, String) {
    let address = daemon.grpc_url().trim_start_matches("http://");
    let socket = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut requests = requests.ready().await.unwrap();
    let request = Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut frame = BytesMut::new();
    frame.put_u8(1);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    let (response, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(frame.freeze(), true).unwrap();
    let mut response = response.await.unwrap();
    let mut headers = response.headers().clone();
    let body = response.body_mut();
    while let Some(data) = body.data().await {
        let data: Bytes = data.unwrap();
        let _ = body.flow_control().release_capacity(data.len());
    }
    headers.extend(body.trailers().await.unwrap().unwrap_or_default());
    drop(requests);
    connection.abort();
    let read = |name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    (read("grpc-status"), read("grpc-message"))
}
