//! Errors of TLS, in words for the people who handle the certificates.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// webpki's name for a CA certificate that a server presents as its own.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// The cause of a failed handshake with a daemon, and what to do about it.
pub(super) fn explain(error: &Error) -> String {
    match classify(error) {
        (reason, Some(advice)) => format!("{reason}; {advice}"),
        (reason, None) => reason,
    }
}

/// The cause alone, for servers that are not ours.
pub(super) fn reason(error: &Error) -> String {
    classify(error).0
}

/// Whether a server presented a CA certificate as its own.
pub(in crate::cli) fn is_ca_as_server(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.to_string() == CA_AS_SERVER
        }
        _ => false,
    }
}

/// How to mend a CA certificate that a server presents as its own.
pub(in crate::cli) const USE_SERVER_CERTIFICATE: &str = "give `runtraced serve --tls-cert` a \
    certificate with CA:FALSE; `openssl req -x509` makes one with \
    -addext basicConstraints=critical,CA:FALSE";

fn classify(error: &Error) -> (String, Option<&'static str>) {
    use CertificateError as Certificate;
    let (reason, advice) = match error {
        error if is_ca_as_server(error) => (
            "the server's certificate is a CA certificate, which cannot identify a server \
             (CaUsedAsEndEntity)",
            Some(USE_SERVER_CERTIFICATE),
        ),
        Error::InvalidCertificate(Certificate::UnknownIssuer) => (
            "the server's certificate is not signed by a trusted authority (UnknownIssuer)",
            Some("give the authority's certificate with --ca"),
        ),
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => (
            "the server's certificate has expired",
            Some("renew the files of `runtraced serve --tls-cert --tls-key`"),
        ),
        Error::InvalidCertificate(
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. },
        ) => (
            "the server's certificate is not valid yet",
            Some("check the clocks of both machines"),
        ),
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => (
            "the server's certificate is for another host name",
            Some("connect by a name in the certificate, or issue it for this name"),
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "the server does not speak TLS on this port",
            Some("write http:// instead of https://, or correct the port"),
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired) => (
            "the server requires a client certificate",
            Some("give one with --client-cert and --client-key"),
        ),
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError,
        ) => (
            "the server does not trust the client certificate",
            Some("give another one with --client-cert and --client-key"),
        ),
        Error::InconsistentKeys(_) => ("the private key does not belong to the certificate", None),
        Error::InvalidCertificate(other) => {
            return (
                format!("the server's certificate is invalid: {other}"),
                None,
            );
        }
        other => return (other.to_string(), None),
    };
    (reason.to_owned(), advice)
}
