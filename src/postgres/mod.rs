//! A private Postgres: found on the machine, kept in one folder, started and
//! stopped with the daemon.
//!
//! Here is what runs the server process and says where it listens. What is in
//! its database (tables, migrations, rows) is not this module's business.
//!
//! ```text
//! <data_dir>/runtraced.lock     held by the daemon that uses the folder
//! <data_dir>/connection.json    where to connect (0600), kept across starts
//! <data_dir>/postgres.log       what Postgres says; postgres.log.1 before it
//! <data_dir>/postgres/data      the cluster; appears whole or not at all
//! <data_dir>/postgres/password  of the role over TCP (0600)
//! <data_dir>/run                the unix socket (0700)
//! ```

mod binaries;
mod config;
mod connection;
mod error;
mod files;
mod identity;
mod initdb;
mod layout;
mod pid_file;
mod prepare;
mod private;
mod process;
mod ready;
mod settings;
mod sockets;

pub use binaries::{Binaries, NEWEST, OLDEST};
pub use config::{PrivateConfig, StopMode};
pub use connection::ConnectionInfo;
pub use error::PrivateError;
pub use private::PrivatePostgres;

/// The role that owns the private database. It is a superuser: the cluster
/// serves one daemon, and who reaches the socket may do anything with it.
pub const ROLE: &str = "runtraced";

/// The database that the private Postgres holds.
pub const DATABASE: &str = "runtraced";
