//! The thin binary over the library.

use std::process::ExitCode;

/// Events are made by the threads of connections and freed by those of writers, at
/// rates that change: glibc's malloc keeps for each thread the most that it ever had.
/// Its settings are in `.cargo/config.toml`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    runtraced::cli::Cli::read().run()
}
