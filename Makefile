# Two commands do everything on a fresh machine with Rust: `make demo`, `make test`.

.PHONY: demo test lint bench bench-quick order-long chaos hostile deny advisories fuzz

# Shows the main job: a private Postgres, the daemon, three agent runs over gRPC.
demo: postgres
	cargo build --locked
	./target/debug/runtraced demo

# All tests, against a real Postgres that they start themselves.
test: postgres
	cargo test --locked

lint:
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

# Rows made durable a second, beside what plain COPY reaches in the same run:
# a quarter of an hour on an idle machine. Then the hot parts, each alone.
bench: postgres
	cargo build --locked --release
	./target/release/runtraced bench --full --markdown docs/BENCHMARKS.md --html target/bench.html --json target/bench.json
	cargo bench --locked --bench parts --bench otlp_map

# The same in two minutes, and less exact.
bench-quick: postgres
	cargo build --locked --release
	./target/release/runtraced bench --quick

# Order and repetition, far more often than `make test` does it.
order-long: postgres
	RUNTRACED_TEST_CASES=5000 cargo test --locked --test suite order::

# Faults from 50 random schedules, the spool against its model, 20 shutdowns at full load,
# and five minutes without Postgres at full load: far longer than `make test`. RUNTRACED_TEST_SEED replays a schedule.
chaos: postgres
	RUNTRACED_TEST_CASES=40000 cargo test --locked --lib spool::tests::model
	RUNTRACED_CHAOS_SCHEDULES=50 cargo test --locked --test suite chaos:: -- --nocapture
	RUNTRACED_DRAINS=20 cargo test --locked --test suite drain::sigterm_at_full_load
	RUNTRACED_AWAY_SECONDS=300 cargo test --locked --test suite spool::goals:: -- --nocapture

# Bombs, floods and resets, far more of them than `make test` sends.
hostile: postgres
	RUNTRACED_HOSTILE=10 RUNTRACED_RESETS=100000 cargo test --locked --test suite -- --test-threads=1 hostile:: limits::streams keys::flood --nocapture

# Licences, duplicates and sources of all dependencies (deny.toml). Not in the gate, since the tool is
# not on every machine.
deny:
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	cargo deny --locked check bans licenses sources

# Known vulnerabilities; fetches the RustSec database.
advisories:
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	cargo deny --locked check advisories

# Each fuzz target for so many seconds, with the stable compiler; see fuzz/Cargo.toml.
FUZZ_SECONDS ?= 60
fuzz:
	scripts/fuzz.sh $(FUZZ_SECONDS)

.PHONY: postgres
postgres:
	@scripts/install-postgres.sh
