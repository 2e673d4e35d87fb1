//! Who may send, and for whom: keys, the layer that asks for them, and their
//! limits. docs/SECURITY.md says what is promised.
//!
//! The handlers behind it know an [`Identity`] and no key. What an identity may
//! write is decided in the store, where it is known whose a run is.

mod denied;
mod headers;
mod identity;
mod keeper;
mod kept;
mod key;
mod layer;
mod limits;
mod table;

pub use denied::Denied;
pub use headers::presented;
pub use identity::{Identity, QuotaExceeded};
pub use keeper::Keeper;
pub use kept::KeptKeys;
pub use key::{KEY_PREFIX, Malformed, NewKey, NoRandomness, PresentedKey, parse_key};
pub use layer::{
    Authenticator, CUSTOMER_HEADER, HttpAuthenticator, authenticate_grpc, authenticate_http,
};
pub use limits::Rates;
pub use table::{ActiveKey, AuthCounts, KeyRecord, KeyTable};
