//! The program: a thin shell around the library.

use std::process::ExitCode;

/// jemalloc gives memory back: threads of connections allocate events and writer threads
/// free them, and glibc's malloc would keep each thread's peak. `.cargo/config.toml` has
/// its settings.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    runtraced::cli::Cli::read().run()
}
