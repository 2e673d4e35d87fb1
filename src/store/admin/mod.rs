//! Administration of the database: migrations, rights of roles, keys, and decisions of people.

mod grant;
mod keys;
mod migrate;
mod price_keys;
mod prices;
mod reader;
mod search_index;

pub use grant::{Grant, GrantError, grant};
pub use keys::{KeyError, create_key, load_keys, revoke_key};
pub use migrate::migrate;
pub use price_keys::unpriced_keys;
pub use prices::{PriceRow, catalog_models, set_price, unpriced_models, write_catalog_prices};
pub use reader::{DecidedBy, READER_ROLE, decide_approval, grant_reader};
pub use search_index::build_search_index;
