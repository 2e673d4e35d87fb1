//! What is wrong with a server's own certificate, whatever its clients trust: asked of the
//! verifier that our own client uses.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

/// How to mend a CA certificate that a server presents as its own.
pub const USE_SERVER_CERTIFICATE: &str = "give `runtraced serve --tls-cert` a certificate with \
    CA:FALSE: `runtraced tls self-signed` makes one, and `openssl req -x509` makes one with \
    -addext basicConstraints=critical,CA:FALSE";

/// webpki's name for a CA certificate that a server presents as its own.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";
/// webpki's name for a certificate that is not of version 3.
const OLD_VERSION: &str = "UnsupportedCertVersion";

/// A fault of a certificate for which clients refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafFault {
    /// It is the certificate of an authority.
    Authority,
    /// It is of X.509 version 1, which has no names of hosts.
    Version1,
    /// It is past its end.
    Expired,
    /// Its beginning is in the future.
    NotYetValid,
    /// It is for clients, or for something else.
    NotForServers,
    /// It names no host.
    NoName,
}

impl LeafFault {
    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Authority => USE_SERVER_CERTIFICATE,
            Self::Version1 => {
                "issue it again with extensions, with openssl x509 -req -extfile, or make one \
                 with `runtraced tls self-signed`"
            }
            Self::Expired => "renew it; the daemon notices by itself",
            Self::NotYetValid => "set the clock of this machine, or issue it again",
            Self::NotForServers => "issue it again with the extended key usage serverAuth",
            Self::NoName => {
                "issue it again with a subjectAltName for each name and address that clients use"
            }
        }
    }
}

impl fmt::Display for LeafFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "is a CA certificate, which many clients refuse",
            Self::Version1 => "is of X.509 version 1, which clients refuse",
            Self::Expired => "has expired; clients will reject it",
            Self::NotYetValid => "is not valid yet; clients will reject it",
            Self::NotForServers => "is not meant for servers; clients will reject it",
            Self::NoName => "names no host; clients will reject it",
        })
    }
}

/// Whether a server presented a CA certificate as its own.
#[must_use]
pub fn is_ca_as_server(error: &Error) -> bool {
    is_other(error, CA_AS_SERVER)
}

/// Whether a certificate is of an old version of X.509.
#[must_use]
pub fn is_old_version(error: &Error) -> bool {
    is_other(error, OLD_VERSION)
}

fn is_other(error: &Error, name: &str) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.to_string() == name,
        _ => false,
    }
}

/// The first fault of a server's own certificate, at a time.
pub fn leaf_fault(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<LeafFault> {
    use CertificateError as Certificate;
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from("localhost")) else {
        return None;
    };
    // It looks at the certificate itself before it looks for its issuer.
    let verified = verifier.verify_server_cert(certificate, &[], &name, &[], now);
    match verified.err()? {
        error if is_ca_as_server(&error) => Some(LeafFault::Authority),
        error if is_old_version(&error) => Some(LeafFault::Version1),
        Error::InvalidCertificate(error) => match error {
            Certificate::Expired | Certificate::ExpiredContext { .. } => Some(LeafFault::Expired),
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                Some(LeafFault::NotYetValid)
            }
            Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
                Some(LeafFault::NotForServers)
            }
            _ if leaf_names(certificate).is_empty() => Some(LeafFault::NoName),
            _ => None,
        },
        _ => None,
    }
}

/// The names and addresses that a certificate is for.
pub fn leaf_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    // A name that no certificate has.
    let (Ok(parsed), Ok(name)) = (
        ParsedCertificate::try_from(certificate),
        ServerName::try_from("runtraced.invalid"),
    ) else {
        return Vec::new();
    };
    match verify_server_name(&parsed, &name) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) => presented.iter().map(|name| bare(name)).collect(),
        _ => Vec::new(),
    }
}

/// A name without what webpki writes around it: `DnsName("traces.example")`.
fn bare(presented: &str) -> String {
    let inside = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(presented).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    /// 2026-01-01, as seconds since 1970.
    const NOW: u64 = 1_767_225_600;

    fn fault(change: impl FnOnce(&mut CertificateParams)) -> Option<LeafFault> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        leaf_fault(cert.der(), now)
    }

    #[test]
    fn each_fault_is_found() {
        let year = |year| rcgen::date_time_ymd(year, 6, 1);
        assert_eq!(fault(|_| {}), None);
        let authority = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        assert_eq!(
            fault(|params| params.is_ca = authority),
            Some(LeafFault::Authority)
        );
        assert_eq!(
            fault(|params| params.not_after = year(2025)),
            Some(LeafFault::Expired)
        );
        assert_eq!(
            fault(|params| params.not_before = year(2026)),
            Some(LeafFault::NotYetValid)
        );
        let client = vec![ExtendedKeyUsagePurpose::ClientAuth];
        assert_eq!(
            fault(|params| params.extended_key_usages = client),
            Some(LeafFault::NotForServers)
        );
        assert_eq!(
            fault(|params| params.subject_alt_names.clear()),
            Some(LeafFault::NoName)
        );
    }

    #[test]
    fn names_and_addresses_are_read() {
        let names = ["traces.example".to_owned(), "10.0.0.7".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = leaf_names(cert.der()).join(" ");
        assert!(found.contains("traces.example"), "{found}");
        assert!(found.contains("10.0.0.7"), "{found}");
    }
}
