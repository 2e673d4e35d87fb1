//! Authentication: keys, the layer that checks them, and their limits.
//! docs/SECURITY.md lists the guarantees.
//!
//! Handlers know an [`Identity`], never a key. The store decides what an identity may
//! write, because only the store knows the customer of a run.

mod denied;
mod headers;
mod identity;
mod key;
mod key_cache;
mod key_cache_writer;
mod layer;
mod limits;
mod lookup;
mod site;
mod table;

pub use denied::Denied;
pub use headers::find_key;
pub use identity::{Identity, QuotaExceeded};
pub use key::{MalformedKey, NewKey, NoRandomness, PresentedKey, parse_key};
pub use key_cache::KeyCache;
pub use key_cache_writer::KeyCacheWriter;
pub use layer::{
    Authenticator, CUSTOMER_HEADER, HttpAuthenticator, authenticate_grpc, authenticate_http,
};
pub use limits::Rates;
pub use lookup::KeyLookups;
pub use site::is_public_name;
pub use table::{ActiveKey, AuthCounts, KeyAccess, KeyRecord, KeyTable};
