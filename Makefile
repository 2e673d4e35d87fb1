# On a new machine with Rust, start with `make demo` or `make test`.

.PHONY: demo test page lint bench bench-quick order-long chaos hostile deny advisories fuzz

# Starts a private Postgres and the daemon, and streams three agent runs to it.
demo: postgres
	cargo build --locked
	./target/debug/runtraced demo

# All tests, against a real Postgres that the tests start themselves; those of the page in a real browser.
test: postgres
	cargo test --locked
	RUNTRACED_TEST_LAYOUT=month RUNTRACED_TEST_CASES=50 cargo test --locked --test suite -- $(MONTH_TESTS)
	RUNTRACED_TEST_SLOTS=4 RUNTRACED_TEST_CASES=50 cargo test --locked --test suite -- $(SLOT_TESTS)

# What is repeated in the layout by month: where rows go, how they merge, who sees them, and how they are deleted.
MONTH_TESTS = servers::writing order:: copy_rows:: bridged:: contents:: retention:: totals:: concurrency:: role::

# The same in the layout in slots, and what else depends on tables being tables, or on how batches are cut.
SLOT_TESTS = servers::writing order:: copy_rows:: bridged:: totals:: concurrency:: rls:: views:: keys::tenancy bad_input::conflicts \
	chaos:: kill:: drain:: ledger:: streams:: clocks:: histograms:: sessions:: \
	dashboards:: health:: http_events:: jsonb:: limits:: mask:: otlp_doors:: send:: spans:: \
	spool::accounting spool::away spool::commands spool::person spool::poison spool::progress spool::restart

# What depends on the version of Postgres, with 15 to 18. RUNTRACED_TEST_POSTGRES names the folder of one.
.PHONY: test-postgres-versions
test-postgres-versions: postgres
	scripts/test-postgres-versions.sh

# The types of the page, with TypeScript from npm.
page:
	scripts/check-page.sh

# rustfmt and clippy, with warnings as errors.
lint:
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

# How many rows a second become durable, compared with plain COPY in the same run; then
# each hot part alone. Takes a quarter of an hour. Use an idle machine.
bench: postgres
	cargo build --locked --release
	./target/release/runtraced bench --full --markdown docs/BENCHMARKS.md --html target/bench.html --json target/bench.json
	cargo bench --locked --bench parts --bench otlp_map

# The first comparison in two minutes, less exact.
bench-quick: postgres
	cargo build --locked --release
	./target/release/runtraced bench --quick

# These take long on purpose.
order-long chaos hostile: export RUNTRACED_TEST_MINUTES ?= 600

# The order tests with 5,000 cases, far more than in `make test`.
order-long: postgres
	RUNTRACED_TEST_CASES=5000 cargo test --locked --test suite order::

# The spool against its model, 100 random schedules of faults, 20 shutdowns at full load, and
# five minutes without Postgres at full load. Set RUNTRACED_TEST_SEED to repeat one schedule.
chaos: postgres
	RUNTRACED_TEST_CASES=40000 cargo test --locked --lib spool::tests::model
	RUNTRACED_CHAOS_SCHEDULES=100 RUNTRACED_CHAOS_LONGEST_WAIT=2 cargo test --locked --test suite chaos:: -- --nocapture
	RUNTRACED_DRAINS=20 cargo test --locked --test suite drain::sigterm_at_full_load
	RUNTRACED_AWAY_SECONDS=300 cargo test --locked --test suite spool::goals:: -- --nocapture

# Ten times the decompression bombs, floods and resets of `make test`.
hostile: postgres
	RUNTRACED_HOSTILE=10 RUNTRACED_RESETS=100000 cargo test --locked --test suite -- --test-threads=1 hostile:: limits::streams keys::flood --nocapture

# Licences, duplicates and sources of all dependencies (deny.toml). Not part of .ci/run, because
# it needs cargo-deny.
deny:
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is not installed: run cargo install --locked cargo-deny"; exit 1; }
	cargo deny --locked check bans licenses sources

# Known vulnerabilities of all dependencies. Downloads the RustSec database.
advisories:
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is not installed: run cargo install --locked cargo-deny"; exit 1; }
	cargo deny --locked check advisories

# Runs each fuzz target for FUZZ_SECONDS, built with the stable compiler (fuzz/Cargo.toml).
FUZZ_SECONDS ?= 60
fuzz:
	scripts/fuzz.sh $(FUZZ_SECONDS)

# Builds all packages into dist/ (CONTRIBUTING.md, Release). RUNTRACED_BINARY takes a program that is built already.
.PHONY: release check-packages check-deploy
release:
	scripts/release/release.sh

# Tries the packages in dist/ in a bare Debian and a bare venv. As root, on Debian.
check-packages:
	scripts/check-packages.sh

# The unit, the Dockerfile, the compose file and the chart, without Docker and Kubernetes.
check-deploy:
	scripts/check-deploy.sh

# Installs PostgreSQL where that is possible, or says how to.
.PHONY: postgres
postgres:
	@scripts/install-postgres.sh
