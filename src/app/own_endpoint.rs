//! Refuses to send the daemon's own spans to the daemon itself: each request with spans would
//! make more of them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{Addresses, AppError};
use crate::config::OtelSettings;

/// How long looking up the name of the collector may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that the collector is not this daemon. If its name cannot be looked up now, it passes:
/// spans that come back are dropped.
///
/// # Errors
/// [`AppError::OwnEndpoint`].
pub(super) async fn refuse_own(settings: &OtelSettings, own: Addresses) -> Result<(), AppError> {
    let (host, port) = &settings.address;
    let Ok(Ok(found)) = timeout(LOOKUP_TIMEOUT, lookup_host((host.as_str(), *port))).await else {
        return Ok(());
    };
    let found: Vec<SocketAddr> = found.collect();
    for (name, address) in [("gRPC", own.grpc), ("HTTP", own.http)] {
        if found.iter().any(|&found| leads_to(found, address)) {
            return Err(AppError::OwnEndpoint {
                endpoint: settings.endpoint.clone(),
                name,
            });
        }
    }
    Ok(())
}

/// Whether connections to `address` arrive at `own`.
fn leads_to(address: SocketAddr, own: SocketAddr) -> bool {
    let (ip, own_ip) = (address.ip().to_canonical(), own.ip().to_canonical());
    let same_ip = match own_ip.is_unspecified() {
        true => is_of_this_machine(ip),
        // Connections to 0.0.0.0 go to loopback.
        false => ip == own_ip || ip.is_unspecified() && own_ip.is_loopback(),
    };
    same_ip && address.port() == own.port()
}

/// Only addresses of this machine can be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_itself_is_found() {
        for (address, own, expected) in [
            ("127.0.0.1:4317", "127.0.0.1:4317", true),
            ("[::ffff:127.0.0.1]:4317", "127.0.0.1:4317", true),
            ("0.0.0.0:4317", "127.0.0.1:4317", true),
            ("127.0.0.1:4317", "0.0.0.0:4317", true),
            ("127.0.0.1:4317", "[::]:4317", true),
            ("127.0.0.1:4317", "127.0.0.1:4318", false),
            ("127.0.0.1:4317", "127.0.0.2:4317", false),
            // TEST-NET-1, which no machine has.
            ("192.0.2.1:4317", "0.0.0.0:4317", false),
        ] {
            let leads = leads_to(address.parse().unwrap(), own.parse().unwrap());
            assert_eq!(leads, expected, "{address} to {own}");
        }
    }
}
