//! Fixed names and the supported versions.

/// The role that owns the private database.
///
/// It is a superuser: the cluster serves one daemon, and anyone who can reach the socket
/// may do anything with the cluster.
pub const ROLE: &str = "runtraced";

/// The database of the private Postgres.
pub const DATABASE: &str = "runtraced";

/// The oldest major version that runtraced supports: views need `security_invoker`.
pub const OLDEST_SUPPORTED: u32 = 15;

/// The newest major version that runtraced was tested with.
pub const NEWEST_TESTED: u32 = 18;
