//! Errors of TLS, in words for the people who handle the certificates.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::listen::{LeafFault, USE_SERVER_CERTIFICATE, is_ca_as_server, is_old_version};

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

fn classify(error: &Error) -> (String, Option<&'static str>) {
    use CertificateError as Certificate;
    let (reason, advice) = match error {
        error if is_ca_as_server(error) => (
            "the server's certificate is a CA certificate, which cannot identify a server \
             (CaUsedAsEndEntity)",
            Some(USE_SERVER_CERTIFICATE),
        ),
        error if is_old_version(error) => (
            "the server's certificate is of X.509 version 1, which TLS does not accept \
             (UnsupportedCertVersion)",
            Some(LeafFault::Version1.advice()),
        ),
        Error::InvalidCertificate(
            Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. },
        ) => (
            "the server's certificate is not meant for servers",
            Some(LeafFault::NotForServers.advice()),
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
