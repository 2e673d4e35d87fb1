//! The layer in front of both endpoints. It decides which requests need a key, and
//! puts the [`Identity`] of the sender into the extensions of each request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Response, header};
use axum::middleware::Next;
use tonic::Status;
use uuid::{NonNilUuid, Uuid};

use super::denied::Denied;
use super::headers::find_key;
use super::identity::Identity;
use super::site::is_from_public_site;
use super::table::{ActiveKey, KeyCheck, KeyTable};
use crate::listen::ClientConnection;

/// The header that names the customer of a request. It can only narrow what a key may
/// do: a key that may write for any customer is limited to this one.
pub const CUSTOMER_HEADER: &str = "runtraced-customer";

/// gRPC services that need no key: health and reflection. All others need one.
const OPEN_SERVICES: [&str; 2] = ["/grpc.health.v1.", "/grpc.reflection."];

/// Checks the keys of requests.
#[derive(Clone, Debug)]
pub struct Authenticator {
    table: Arc<KeyTable>,
    /// Whether every request needs a key.
    required: bool,
    /// Whether only programs on this machine can reach the daemon.
    on_loopback: bool,
}

impl Authenticator {
    /// Checks against the keys of a table. With `required` every request needs a key.
    /// Without it, requests without a key are accepted.
    #[must_use]
    pub fn new(table: Arc<KeyTable>, required: bool) -> Self {
        Self {
            table,
            required,
            on_loopback: false,
        }
    }

    /// The same for a daemon that only programs on this machine can reach. Such a program may be
    /// a browser: sites need a key.
    #[must_use]
    pub fn on_loopback(self) -> Self {
        Self {
            on_loopback: true,
            ..self
        }
    }

    /// Identifies the sender of a request with these headers.
    ///
    /// # Errors
    /// When the request is rejected. The rejection is counted.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Identity, Denied> {
        self.check(headers, extensions.get())
            .await
            .inspect_err(|denied| denied.count(&self.table.counts))
    }

    /// Identifies the sender of a request that needs no key. `None`: it presents no key
    /// that the table holds.
    fn identify_known(&self, headers: &HeaderMap) -> Option<Identity> {
        let presented = find_key(headers).ok()??;
        match self.table.check(&presented) {
            KeyCheck::Valid(key) => Some(self.identity(Some(key), headers).ok()?),
            _ => None,
        }
    }

    async fn check(
        &self,
        headers: &HeaderMap,
        connection: Option<&ClientConnection>,
    ) -> Result<Identity, Denied> {
        let key = match find_key(headers).map_err(|_| Denied::Malformed)? {
            Some(presented) => match self.table.check_or_load(&presented, connection).await {
                KeyCheck::Valid(key) => Some(key),
                KeyCheck::Invalid | KeyCheck::Unknown => return Err(Denied::Unknown),
                KeyCheck::NotLoaded => return Err(Denied::NotLoaded),
            },
            None if self.required => return Err(Denied::Missing),
            None if self.on_loopback && is_from_public_site(headers) => {
                return Err(Denied::OtherSite);
            }
            None => None,
        };
        self.identity(key, headers)
    }

    fn identity(
        &self,
        key: Option<Arc<ActiveKey>>,
        headers: &HeaderMap,
    ) -> Result<Identity, Denied> {
        let owner = key.as_ref().and_then(|key| key.customer());
        let tenant = match (owner, named_customer(headers)?) {
            (Some(owner), Some(named)) if owner != named => return Err(Denied::OtherCustomer),
            (owner, named) => owner.or(named),
        };
        Ok(Identity::new(key, tenant, self.table.clone()))
    }

    /// Puts the identity of the sender into the extensions of a request. A request that
    /// needs no key gets one only if it presents a valid key.
    async fn admit(&self, request: &mut Request, needs_key: bool) -> Result<(), Denied> {
        let connection = request.extensions().get::<ClientConnection>().cloned();
        let headers = request.headers();
        let identity = match needs_key {
            true => {
                let identity = self.identify(headers, request.extensions()).await?;
                if !identity.may_write() {
                    return Err(Denied::ReadKey);
                }
                Some(identity)
            }
            // The owner of a session has presented a key before.
            false => self
                .identify_known(headers)
                .or_else(|| request.extensions().get().cloned()),
        };
        if let Some(identity) = identity {
            identity.present_to(connection.as_ref());
            request.extensions_mut().insert(identity);
        }
        Ok(())
    }
}

fn named_customer(headers: &HeaderMap) -> Result<Option<NonNilUuid>, Denied> {
    let Some(value) = headers.get(CUSTOMER_HEADER) else {
        return Ok(None);
    };
    let id = Uuid::try_parse_ascii(value.as_bytes()).map_err(|_| Denied::Customer)?;
    NonNilUuid::new(id).map(Some).ok_or(Denied::Customer)
}

/// Middleware in front of the gRPC services.
pub async fn authenticate_grpc(
    State(authenticator): State<Authenticator>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let path = request.uri().path();
    let needs_key = !OPEN_SERVICES.iter().any(|open| path.starts_with(open));
    match authenticator.admit(&mut request, needs_key).await {
        Ok(()) => next.run(request).await,
        Err(denied) => Status::from(denied).into_http(),
    }
}

/// Authentication over HTTP. The protocol behind it decides which paths need a key, and
/// formats the refusals.
#[derive(Clone, Debug)]
pub struct HttpAuthenticator {
    /// Checks keys.
    pub authenticator: Authenticator,
    /// Whether a path needs a key.
    pub needs_key: fn(&str) -> bool,
    /// The response to a rejected request.
    pub refuse: fn(Denied, &Request) -> Response<Body>,
}

/// Middleware in front of the HTTP pages.
pub async fn authenticate_http(
    State(http): State<HttpAuthenticator>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let needs_key = (http.needs_key)(request.uri().path());
    let Err(denied) = http.authenticator.admit(&mut request, needs_key).await else {
        return next.run(request).await;
    };
    let mut response = (http.refuse)(denied, &request);
    if response.status() == axum::http::StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::key::NewKey;
    use super::super::limits::Rates;
    use super::super::table::{KeyAccess, KeyRecord};
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
            access: KeyAccess::Write,
            rates: Rates::default(),
        };
        table.replace(keys.iter().map(record).collect());
        table
    }

    /// Without a connection no check waits.
    fn identify(
        table: &Arc<KeyTable>,
        required: bool,
        headers: &HeaderMap,
    ) -> Result<Identity, Denied> {
        let authenticator = Authenticator::new(table.clone(), required);
        let extensions = Extensions::new();
        let identified = pin!(authenticator.identify(headers, &extensions));
        match identified.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(identity) => identity,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn the_customer_header_narrows_any_key_and_widens_none() {
        let (free, tenant) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let table = table(&[(&free, None), (&tenant, Some(7))]);
        let [seven, eight] = [7, 8].map(|id| Uuid::from_u128(id).to_string());
        let tenant_of = |key: &NewKey, customer: Option<&str>| {
            let mut all = vec![("authorization", key.text.as_str())];
            all.extend(customer.map(|id| (CUSTOMER_HEADER, id)));
            let identity = identify(&table, true, &headers(&all))?;
            Ok(identity.tenant().map(|tenant| tenant.get().as_u128()))
        };
        assert_eq!(tenant_of(&free, None), Ok(None));
        assert_eq!(tenant_of(&free, Some(&seven)), Ok(Some(7)));
        assert_eq!(tenant_of(&tenant, None), Ok(Some(7)));
        assert_eq!(tenant_of(&tenant, Some(&seven)), Ok(Some(7)));
        assert_eq!(tenant_of(&tenant, Some(&eight)), Err(Denied::OtherCustomer));
        assert_eq!(tenant_of(&free, Some("7")), Err(Denied::Customer));
        let nil = Uuid::nil().to_string();
        assert_eq!(tenant_of(&free, Some(&nil)), Err(Denied::Customer));
        assert_eq!(
            table
                .counts
                .customer
                .load(std::sync::atomic::Ordering::Relaxed),
            3
        );
    }

    #[test]
    fn on_loopback_a_site_needs_a_key() {
        let known = NewKey::generate().unwrap();
        let authenticator = Authenticator::new(table(&[(&known, None)]), false).on_loopback();
        let ask = |key: Option<&str>| {
            let mut all = vec![("origin", "http://evil.example:4318")];
            all.extend(key.map(|key| ("authorization", key)));
            let (headers, extensions) = (headers(&all), Extensions::new());
            let identified = pin!(authenticator.identify(&headers, &extensions));
            match identified.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(identity) => identity.map(|_| ()),
                Poll::Pending => panic!("it waits"),
            }
        };
        assert_eq!(ask(None), Err(Denied::OtherSite));
        assert_eq!(ask(Some("sk-dummy")), Err(Denied::OtherSite));
        assert_eq!(ask(Some(&known.text)), Ok(()));
    }

    #[test]
    fn without_the_flag_only_presented_keys_are_checked() {
        let (known, stranger) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let table = table(&[(&known, None)]);
        let check = |required: bool, token: &str| {
            let token = format!("Bearer {token}");
            identify(&table, required, &headers(&[("authorization", &token)])).map(|_| ())
        };
        assert_eq!(check(false, "sk-dummy"), Ok(()));
        assert_eq!(check(true, "sk-dummy"), Err(Denied::Missing));
        for required in [true, false] {
            assert_eq!(check(required, &known.text), Ok(()));
            assert_eq!(check(required, &stranger.text), Err(Denied::Unknown));
            assert_eq!(check(required, "rt_what"), Err(Denied::Malformed));
        }
    }
}
