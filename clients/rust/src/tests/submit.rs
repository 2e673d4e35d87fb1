//! `Client::connect` and `Client::submit`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{FakeDaemon, HASTY, QUICK, StreamPlan, connect, events};
use crate::{Client, ClientError, ClientTls, StreamOptions};

fn full(delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, "full", details)
}

fn answering(status: Status) -> StreamPlan {
    StreamPlan {
        ending: Some(status),
        ..StreamPlan::default()
    }
}

fn code(error: ClientError) -> Code {
    match error {
        ClientError::Refused(status) => status.code(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_or_absent_daemon_is_asked_again_after_the_delay_it_names() {
    let delay = Duration::from_millis(200);
    let plans = [
        answering(full(delay)),
        answering(Status::unavailable("no database")),
    ];
    let (fake, address) = FakeDaemon::start(plans).await;
    let began = Instant::now();
    let client = connect(&address, QUICK).await;
    let response = client.submit(events(3)).await.unwrap();
    assert_eq!(response.outcome.unwrap().committed, 3);
    assert_eq!(fake.received().len(), 3, "two failures and a success");
    assert!(began.elapsed() >= delay);
}

#[tokio::test]
async fn what_will_not_get_better_is_not_repeated() {
    let plans = [
        answering(Status::resource_exhausted("message too large")),
        answering(Status::invalid_argument("no")),
    ];
    let (fake, address) = FakeDaemon::start(plans).await;
    let client = connect(&address, QUICK).await;
    let too_large = client.submit(events(1)).await.unwrap_err();
    assert_eq!(code(too_large), Code::ResourceExhausted);
    let invalid = client.submit(events(1)).await.unwrap_err();
    assert_eq!(code(invalid), Code::InvalidArgument);
    assert_eq!(fake.received().len(), 2);
}

#[tokio::test]
async fn submit_gives_up_at_its_deadline() {
    let silent = StreamPlan {
        delay: Duration::from_secs(60),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([silent]).await;
    let client = connect(&address, HASTY).await;
    let silent = client.submit(events(1)).await.unwrap_err();
    assert!(matches!(silent, ClientError::Stalled(_)), "{silent:?}");

    let (_fake, address) =
        FakeDaemon::start(vec![answering(Status::unavailable("down")); 500]).await;
    let client = connect(&address, HASTY).await;
    let down = client.submit(events(1)).await.unwrap_err();
    assert_eq!(code(down), Code::Unavailable);
}

/// Scenario: no daemon listens; later one refuses three calls in two outages.
/// Guarantees: the observer hears of each outage once, when it begins.
#[tokio::test]
async fn each_outage_is_reported_once_when_it_begins() {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observe = || {
        let reported = Arc::clone(&reported);
        move |error: &ClientError| reported.lock().unwrap().push(error.to_string())
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let connected = Client::connect_observed(&nobody, ClientTls::default(), HASTY, observe()).await;
    connected.unwrap_err();
    assert_eq!(
        std::mem::take(&mut *reported.lock().unwrap()),
        [format!("no daemon answers at {nobody}")]
    );

    let down = || answering(Status::unavailable("no database"));
    let success = StreamPlan::default;
    let broken_stream = StreamPlan {
        batches: Some(1),
        acks: Some(0),
        ..down()
    };
    let plans = [down(), down(), success(), success(), broken_stream];
    let (_fake, address) = FakeDaemon::start(plans).await;
    let client = Client::connect_observed(&address, ClientTls::default(), QUICK, observe());
    let client = client.await.unwrap();
    client.submit(events(1)).await.unwrap();
    client.submit(events(1)).await.unwrap();
    let refused = "the daemon refused the call: no database (Unavailable)";
    assert_eq!(*reported.lock().unwrap(), [refused]);
    let mut stream = client.stream(StreamOptions::default());
    stream.send(events(1), ()).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(*reported.lock().unwrap(), [refused; 2]);
}

/// Scenario: TLS to a port without it.
/// Guarantees: the client gives up at once, rather than after its retries.
#[tokio::test]
async fn a_tls_fault_is_not_retried() {
    let (_fake, address) = FakeDaemon::start([]).await;
    let address = address.replace("http://", "https://");
    let began = Instant::now();
    let error = Client::connect(&address, QUICK).await.unwrap_err();
    assert!(matches!(error, ClientError::Handshake { .. }), "{error:?}");
    assert!(began.elapsed() < QUICK.give_up_after / 4);
}

#[tokio::test]
async fn nobody_there_and_no_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&address, HASTY).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    for address in ["", "127.0.0.1:4317", "ftp://x", "http://a b"] {
        let error = Client::connect(address, QUICK).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Endpoint(_)),
            "{address}: {error:?}"
        );
    }
}
