//! What operators do to the database, apart from any batch: bring the schema up to
//! date, grant a role what the daemon needs, make and revoke keys.

mod grant;
mod keys;
mod migrate;

pub use grant::{Grant, GrantError, grant};
pub use keys::{KeyError, create_key, load_keys, revoke_key};
pub use migrate::{MIGRATIONS, migrate};
