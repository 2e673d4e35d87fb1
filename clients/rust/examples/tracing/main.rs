//! Traces an agent that uses the `tracing` crate.
#![allow(clippy::print_stdout)]

mod agent;

use std::time::Duration;

use runtraced_client::{Client, RetryPolicy, SpanLayer, StreamOptions};
use tracing_subscriber::{Layer as _, filter::LevelFilter, prelude::*};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1);
    let endpoint = endpoint.as_deref().unwrap_or("http://127.0.0.1:4317");
    let client = Client::connect(endpoint, RetryPolicy::default()).await?;
    let (layer, delivery) = SpanLayer::new(client.stream(StreamOptions::default()), 10_000);
    tracing_subscriber::registry()
        .with(layer.with_filter(LevelFilter::INFO))
        .init();

    println!("{}", agent::answer("When is the next release?").await?);
    delivery.flush(Duration::from_secs(5)).await?;
    println!("{} events dropped", delivery.dropped());
    Ok(())
}
