//! The cost of validating JSON text.

use criterion::{BatchSize, Criterion, Throughput};
use runtraced::event::{Json, Repairs};

pub fn check(c: &mut Criterion) {
    let words = "the agent answered a question about the contract ".repeat(400);
    let texts = [
        (
            "300 bytes of text",
            format!("{{\"query\":\"{}\"}}", &words[..285]),
        ),
        (
            "10 KB of text",
            format!("{{\"query\":\"{}\"}}", &words[..10_000]),
        ),
        (
            "10 KB of numbers",
            format!("[{}1]", "1.25e3,-7, ".repeat(900)),
        ),
        (
            "10 KB of escapes",
            format!("\"{}\"", "a\\n\\u00e9\\\"".repeat(1_000)),
        ),
        (
            "nested 400 deep",
            format!("{}{}", "[".repeat(400), "]".repeat(400)),
        ),
    ];
    let mut group = c.benchmark_group("json");
    for (name, text) in texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter_batched(
                || text.clone(),
                |text| Json::new(text, &mut Repairs::default()).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
