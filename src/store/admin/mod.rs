//! Administration of the database: migrations, rights of the daemon's role, and keys.

mod grant;
mod keys;
mod migrate;

pub use grant::{Grant, GrantError, grant};
pub use keys::{KeyError, create_key, load_keys, revoke_key};
pub use migrate::migrate;
