//! This machine: open files, addresses, certificates.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::path::Path;

use super::finding::{Finding, failure, fine, warning};
use crate::config::{CollectorTrust, Config};
use crate::listen::{TlsError, TlsReport, inspect_tls, raise_file_limit, read_authorities};

/// Open files beside connections: spool, database, logs.
const OTHER_FILES: u64 = 128;

pub(super) fn open_files(config: &Config) -> Finding {
    // Each of the two endpoints may have as many.
    let needed = 2 * config.connections.connections as u64 + OTHER_FILES;
    file_limit(raise_file_limit(), needed)
}

fn file_limit(limit: Option<u64>, needed: u64) -> Finding {
    const CHECK: &str = "open files";
    match limit {
        Some(limit) if limit < needed => warning(
            CHECK,
            format!("the limit is {limit}, and --max-connections may need {needed}"),
            "raise the limit (ulimit -n, LimitNOFILE), or lower --max-connections",
        ),
        Some(limit) => fine(CHECK, format!("the limit is {limit}")),
        None => fine(CHECK, "no limit"),
    }
}

pub(super) fn exposure(config: &Config) -> Option<Finding> {
    let remote = [config.grpc_listen, config.http_listen]
        .iter()
        .any(|address| !address.ip().is_loopback());
    exposed(remote, config.require_keys, config.tls.is_some())
}

fn exposed(remote: bool, keys: bool, tls: bool) -> Option<Finding> {
    const CHECK: &str = "exposure";
    if !remote {
        return Some(fine(CHECK, "listens on loopback only"));
    }
    Some(match (keys, tls) {
        (true, true) => fine(CHECK, "beyond loopback, with keys and TLS"),
        (true, false) => warning(
            CHECK,
            "keys travel in clear text beyond loopback",
            "set --tls-cert and --tls-key (`runtraced tls self-signed` makes them), or let a proxy do TLS",
        ),
        (false, _) => warning(
            CHECK,
            "anyone who reaches the address can write",
            "add --require-keys, unless something in front of the daemon guards the port",
        ),
    })
}

/// Whether the daemon could listen at its addresses. `runs`: whether a daemon uses the spool, and so perhaps them too;
/// `None`: not known.
pub(super) fn addresses(config: &Config, runs: Option<bool>) -> Finding {
    const CHECK: &str = "addresses";
    let both = [
        ("--grpc-listen", config.grpc_listen),
        ("--http-listen", config.http_listen),
    ];
    for (flag, address) in both {
        // The listener ends at once.
        if let Err(error) = TcpListener::bind(address) {
            return closed(CHECK, flag, &address.to_string(), &error, runs);
        }
    }
    let [(_, grpc), (_, http)] = both;
    fine(CHECK, format!("{grpc} and {http} are free"))
}

/// Why the daemon cannot listen at an address.
fn closed(
    check: &'static str,
    flag: &str,
    address: &str,
    error: &io::Error,
    runs: Option<bool>,
) -> Finding {
    let other = format!("stop it, or choose another {flag}");
    match (error.kind(), runs) {
        (ErrorKind::AddrInUse, Some(true)) => fine(
            check,
            format!("something listens on {address}, as does the daemon that uses the spool"),
        ),
        (ErrorKind::AddrInUse, Some(false)) => failure(
            check,
            format!("another process listens on {address}"),
            other,
        ),
        (ErrorKind::AddrInUse, None) => warning(
            check,
            format!("something listens on {address}"),
            format!("if that is not this daemon, {other}"),
        ),
        (ErrorKind::PermissionDenied, _) => failure(
            check,
            format!("this user may not listen on {address}"),
            format!("choose a port from 1024 on with {flag}"),
        ),
        _ => failure(
            check,
            format!("cannot listen on {address}: {error}"),
            format!("correct {flag}: it must be an address of this machine"),
        ),
    }
}

pub(super) fn certificates(config: &Config) -> Option<Finding> {
    let files = config.tls.as_ref()?;
    Some(tls(&files.key, inspect_tls(files)))
}

/// What the daemon needs for its own spans. Whether the collector takes them, its log says.
pub(super) fn collector(config: &Config) -> Option<Finding> {
    const CHECK: &str = "collector";
    let otel = config.otel.as_ref()?;
    let endpoint = &otel.endpoint;
    let found = match &otel.trust {
        None => format!("{endpoint}, in clear text"),
        Some(CollectorTrust::Public) => format!("{endpoint}, certified by a public authority"),
        Some(CollectorTrust::File(file)) => {
            if let Err(error) = read_authorities(file) {
                let advice = "correct --otel-ca or $OTEL_EXPORTER_OTLP_CERTIFICATE";
                return Some(failure(CHECK, error.to_string(), advice));
            }
            let file = file.display();
            format!("{endpoint}, certified by an authority in {file}")
        }
    };
    Some(fine(CHECK, found))
}

fn tls(key: &Path, report: Result<TlsReport, TlsError>) -> Finding {
    const CHECK: &str = "TLS";
    let report = match report {
        Ok(report) => report,
        Err(error) => return failure(CHECK, error.to_string(), "correct --tls-cert and --tls-key"),
    };
    if let Some(fault) = report.fault {
        return failure(CHECK, format!("--tls-cert {fault}"), fault.advice());
    }
    let names = report.names.join(", ");
    let end = report
        .expires
        .map_or_else(String::new, |end| format!(", valid until {end}"));
    let found = format!("the certificate is for {names}{end}");
    if report.expires_soon {
        return warning(CHECK, found, "renew it; the daemon notices by itself");
    }
    if report.key_is_open {
        let found = format!("every user of this machine can read {}", key.display());
        return warning(CHECK, found, format!("chmod 600 {}", key.display()));
    }
    fine(CHECK, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;
    use crate::listen::LeafFault;

    fn report() -> TlsReport {
        TlsReport {
            fault: None,
            names: vec!["traces.example".to_owned()],
            expires: Some(jiff::Timestamp::MAX),
            expires_soon: false,
            key_is_open: false,
        }
    }

    #[test]
    fn addresses_that_are_taken_or_not_allowed() {
        let severity = |kind: ErrorKind, runs| {
            closed(
                "addresses",
                "--http-listen",
                "127.0.0.1:80",
                &kind.into(),
                runs,
            )
            .severity
        };
        let taken = ErrorKind::AddrInUse;
        assert_eq!(severity(taken, Some(true)), Severity::Ok);
        assert_eq!(severity(taken, None), Severity::Warning);
        assert_eq!(severity(taken, Some(false)), Severity::Failure);
        assert_eq!(
            severity(ErrorKind::PermissionDenied, Some(true)),
            Severity::Failure
        );
    }

    #[test]
    fn too_few_open_files() {
        assert_eq!(file_limit(Some(1_024), 4_224).severity, Severity::Warning);
        assert_eq!(file_limit(Some(8_192), 4_224).severity, Severity::Ok);
        assert_eq!(file_limit(None, 4_224).severity, Severity::Ok);
    }

    #[test]
    fn open_doors() {
        let severity = |finding: Option<Finding>| finding.map(|finding| finding.severity);
        assert_eq!(
            severity(exposed(true, false, true)),
            Some(Severity::Warning)
        );
        assert_eq!(
            severity(exposed(true, true, false)),
            Some(Severity::Warning)
        );
        assert_eq!(severity(exposed(true, true, true)), Some(Severity::Ok));
        assert_eq!(severity(exposed(false, false, false)), Some(Severity::Ok));
    }

    #[test]
    fn bad_certificates() {
        let key = Path::new("server.key");
        let check = |report| tls(key, report);
        assert_eq!(check(Ok(report())).severity, Severity::Ok);
        let mut faulty = report();
        faulty.fault = Some(LeafFault::Authority);
        let found = check(Ok(faulty));
        assert_eq!(found.severity, Severity::Failure);
        assert!(
            found.advice.contains("runtraced tls self-signed"),
            "{found:?}"
        );
        let mut soon = report();
        soon.expires_soon = true;
        assert_eq!(check(Ok(soon)).severity, Severity::Warning);
        let mut open = report();
        open.key_is_open = true;
        assert_eq!(check(Ok(open)).advice, "chmod 600 server.key");
        let unreadable = TlsError::NoKey(key.to_owned());
        assert_eq!(check(Err(unreadable)).severity, Severity::Failure);
    }
}
