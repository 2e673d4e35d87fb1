//! The layer in front of both doors: which requests need a key, and as whom they
//! are taken. Its answer to a request is all that a handler knows of keys.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::middleware::Next;
use tonic::Status;
use uuid::{NonNilUuid, Uuid};

use super::denied::Denied;
use super::headers::presented;
use super::identity::Identity;
use super::table::{KeyCheck, KeyTable};

/// Says for which customer a request is, where its key does not: who may write for
/// any customer lays down that power, and nobody gains any.
pub const CUSTOMER_HEADER: &str = "runtraced-customer";

/// What is served over gRPC without a key: whether the daemon is well, and what it
/// speaks. Whatever else there is, or will be, needs one.
const OPEN_SERVICES: [&str; 2] = ["/grpc.health.v1.", "/grpc.reflection."];

/// Judges requests.
#[derive(Clone, Debug)]
pub struct Authenticator {
    table: Arc<KeyTable>,
    /// Whether every request needs a key.
    required: bool,
}

impl Authenticator {
    /// By the keys of a table; with `required` every request needs one, else only
    /// those that present one are judged by it.
    #[must_use]
    pub fn new(table: Arc<KeyTable>, required: bool) -> Self {
        Self { table, required }
    }

    /// As whom a request with these headers is taken.
    ///
    /// # Errors
    /// When it is not; that is counted.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Identity, Denied> {
        self.check(headers)
            .inspect_err(|denied| denied.count(&self.table.counts))
    }

    fn check(&self, headers: &HeaderMap) -> Result<Identity, Denied> {
        let key = match presented(headers).map_err(|_| Denied::Malformed)? {
            Some(presented) => match self.table.check(&presented) {
                KeyCheck::Valid(key) => Some(key),
                KeyCheck::Invalid => return Err(Denied::Unknown),
                KeyCheck::NotLoaded => return Err(Denied::NotLoaded),
            },
            None if self.required => return Err(Denied::Missing),
            None => None,
        };
        let bound = key.as_ref().and_then(|key| key.customer());
        let tenant = match (bound, named_customer(headers)?) {
            (Some(bound), Some(named)) if bound != named => return Err(Denied::OtherCustomer),
            (bound, named) => bound.or(named),
        };
        Ok(Identity::new(key, tenant, self.table.clone()))
    }
}

fn named_customer(headers: &HeaderMap) -> Result<Option<NonNilUuid>, Denied> {
    let Some(value) = headers.get(CUSTOMER_HEADER) else {
        return Ok(None);
    };
    let id = Uuid::try_parse_ascii(value.as_bytes()).map_err(|_| Denied::Customer)?;
    NonNilUuid::new(id).map(Some).ok_or(Denied::Customer)
}

/// In front of the gRPC services.
pub async fn authenticate_grpc(
    State(authenticator): State<Authenticator>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let path = request.uri().path();
    if !OPEN_SERVICES.iter().any(|open| path.starts_with(open)) {
        match authenticator.identify(request.headers()) {
            Ok(identity) => _ = request.extensions_mut().insert(identity),
            Err(denied) => return Status::from(denied).into_http(),
        }
    }
    next.run(request).await
}

/// Authentication over HTTP: the protocol behind it says which paths need a key,
/// and writes refusals in its own form.
#[derive(Clone, Debug)]
pub struct HttpAuthenticator {
    /// Checks keys.
    pub authenticator: Authenticator,
    /// Whether a path needs a key.
    pub needs_key: fn(&str) -> bool,
    /// The answer to a request with these headers that was not let in.
    pub refuse: fn(Denied, &HeaderMap) -> Response<Body>,
}

/// In front of the HTTP pages.
pub async fn authenticate_http(
    State(http): State<HttpAuthenticator>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if (http.needs_key)(request.uri().path()) {
        match http.authenticator.identify(request.headers()) {
            Ok(identity) => _ = request.extensions_mut().insert(identity),
            Err(denied) => {
                let mut response = (http.refuse)(denied, request.headers());
                if response.status() == axum::http::StatusCode::UNAUTHORIZED {
                    let scheme = HeaderValue::from_static("Bearer");
                    response
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, scheme);
                }
                return response;
            }
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::super::key::NewKey;
    use super::super::limits::Rates;
    use super::super::table::KeyRecord;
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn table(keys: &[(&NewKey, Option<u128>)]) -> Arc<KeyTable> {
        let table = Arc::new(KeyTable::default());
        let record = |(key, customer): &(&NewKey, Option<u128>)| KeyRecord {
            id: key.id,
            sha256: key.sha256,
            customer: customer.and_then(|id| NonNilUuid::new(Uuid::from_u128(id))),
            rates: Rates::default(),
        };
        table.replace(keys.iter().map(record).collect());
        table
    }

    #[test]
    fn who_may_write_for_all_may_write_for_one_and_nobody_for_another() {
        let (free, bound) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let table = table(&[(&free, None), (&bound, Some(7))]);
        let [seven, eight] = [7, 8].map(|id| Uuid::from_u128(id).to_string());
        let as_whom = |key: &NewKey, customer: Option<&str>| {
            let mut all = vec![("authorization", key.text.as_str())];
            all.extend(customer.map(|id| (CUSTOMER_HEADER, id)));
            let identity = Authenticator::new(table.clone(), true).identify(&headers(&all))?;
            Ok(identity.tenant().map(|tenant| tenant.get().as_u128()))
        };
        assert_eq!(as_whom(&free, None), Ok(None));
        assert_eq!(as_whom(&free, Some(&seven)), Ok(Some(7)));
        assert_eq!(as_whom(&bound, None), Ok(Some(7)));
        assert_eq!(as_whom(&bound, Some(&seven)), Ok(Some(7)));
        assert_eq!(as_whom(&bound, Some(&eight)), Err(Denied::OtherCustomer));
        assert_eq!(as_whom(&free, Some("7")), Err(Denied::Customer));
        let nil = Uuid::nil().to_string();
        assert_eq!(as_whom(&free, Some(&nil)), Err(Denied::Customer));
        assert_eq!(
            table
                .counts
                .customer
                .load(std::sync::atomic::Ordering::Relaxed),
            3
        );
    }

    #[test]
    fn without_the_flag_only_who_presents_a_key_is_judged() {
        let (known, stranger) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let table = table(&[(&known, None)]);
        let judged = |required: bool, token: &str| {
            let authenticator = Authenticator::new(table.clone(), required);
            let token = format!("Bearer {token}");
            authenticator
                .identify(&headers(&[("authorization", &token)]))
                .map(|_| ())
        };
        assert_eq!(judged(false, "sk-dummy"), Ok(()));
        assert_eq!(judged(true, "sk-dummy"), Err(Denied::Missing));
        for required in [true, false] {
            assert_eq!(judged(required, &known.text), Ok(()));
            assert_eq!(judged(required, &stranger.text), Err(Denied::Unknown));
            assert_eq!(judged(required, "rt_what"), Err(Denied::Malformed));
        }
    }
}
