//! A private Postgres, which is started and stopped with the daemon.
//!
//! It uses the PostgreSQL programs of the machine and keeps everything in one folder. This
//! module runs the server process and tells where it listens. It does not touch the
//! content of the database: tables, migrations, rows.
//!
//! ```text
//! <data_dir>/runtraced.lock     locked by the daemon that uses the folder
//! <data_dir>/connection.json    how to connect (0600), kept across starts
//! <data_dir>/postgres.log       the server log; postgres.log.1 is the previous one
//! <data_dir>/postgres/data      the cluster; it appears complete or not at all
//! <data_dir>/postgres/password  the role's password for TCP (0600)
//! <data_dir>/run                the unix socket (0700)
//! ```

mod advice;
mod binaries;
mod config;
mod connection;
mod constants;
mod error;
mod files;
mod initdb;
mod layout;
mod pid_file;
mod places;
mod prepare;
mod private;
mod process;
mod ready;
mod server_user;
mod settings;
mod sockets;

pub use binaries::Binaries;
pub use config::{PrivateConfig, StopMode};
pub use connection::ConnectionInfo;
pub use constants::{DATABASE, NEWEST_TESTED, OLDEST_SUPPORTED, ROLE};
pub use error::PrivateError;
pub use private::PrivatePostgres;
