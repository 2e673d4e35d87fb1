//! `Client::connect` and `Client::submit`.

use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Fake, HASTY, Plan, QUICK, connect, events};
use crate::client::{Client, ClientError};

fn full(delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, "full", details)
}

fn answering(status: Status) -> Plan {
    Plan {
        ending: Some(status),
        ..Plan::default()
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
    let (fake, address) = Fake::start(plans).await;
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
    let (fake, address) = Fake::start(plans).await;
    let client = connect(&address, QUICK).await;
    let too_large = client.submit(events(1)).await.unwrap_err();
    assert_eq!(code(too_large), Code::ResourceExhausted);
    let invalid = client.submit(events(1)).await.unwrap_err();
    assert_eq!(code(invalid), Code::InvalidArgument);
    assert_eq!(fake.received().len(), 2);
}

#[tokio::test]
async fn submit_gives_up_at_its_deadline() {
    let silent = Plan {
        delay: Duration::from_secs(60),
        ..Plan::default()
    };
    let (_fake, address) = Fake::start([silent]).await;
    let client = connect(&address, HASTY).await;
    let silent = client.submit(events(1)).await.unwrap_err();
    assert!(matches!(silent, ClientError::Stalled(_)), "{silent:?}");

    let (_fake, address) = Fake::start(vec![answering(Status::unavailable("down")); 500]).await;
    let client = connect(&address, HASTY).await;
    let down = client.submit(events(1)).await.unwrap_err();
    assert_eq!(code(down), Code::Unavailable);
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
