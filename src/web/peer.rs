//! Whose program is at the other end of a connection on loopback.
//!
//! A proxy in front of the daemon connects from this machine too, and need not say that it is
//! one. But it runs as a user of its own.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;

/// Whose requests need no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenTo {
    /// Nobody's.
    Nobody,
    /// Those of programs of the daemon's user on this machine.
    ThisUser,
    /// Those of all programs on this machine.
    ThisMachine,
}

/// The ends of the connection of a request. Whoever accepts connections notes them on it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct WebEnds {
    pub client: SocketAddr,
    pub daemon: SocketAddr,
}

/// Notes on a request that it comes from whoever runs the daemon.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromOperator;

impl OpenTo {
    /// Notes whether a request that names this machine comes from the operator.
    pub(super) async fn note_operator(self, request: &mut Request) {
        let ends = request.extensions().get::<WebEnds>().copied();
        let is_operator = match (self, ends) {
            (Self::Nobody, _) => false,
            (Self::ThisMachine, _) => true,
            (Self::ThisUser, Some(ends)) => {
                // The kernel makes the list of connections while it is read.
                let look = tokio::task::spawn_blocking(move || is_of_this_user(ends));
                look.await.unwrap_or(false)
            }
            (Self::ThisUser, None) => false,
        };
        if is_operator {
            request.extensions_mut().insert(FromOperator);
        }
    }
}

/// Whether a program of the daemon's user holds the other end.
#[cfg(target_os = "linux")]
fn is_of_this_user(ends: WebEnds) -> bool {
    let own = rustix::process::geteuid().as_raw();
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|file| {
        let list = std::fs::read_to_string(file).unwrap_or_default();
        owner(&list, ends) == Some(own)
    })
}

/// Other systems have no such list. They run on the machines of developers.
#[cfg(not(target_os = "linux"))]
fn is_of_this_user(_: WebEnds) -> bool {
    true
}

/// The user who holds the client's end, from a list of the kernel.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn owner(list: &str, ends: WebEnds) -> Option<u32> {
    let is_at = |field: &str, address: SocketAddr| {
        let named = |ip: IpAddr| format!("{}:{:04X}", hex(ip), address.port());
        // A client may reach an IPv4 address through a socket of IPv6.
        let mapped = match address.ip() {
            IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
            IpAddr::V6(_) => address.ip(),
        };
        field == named(address.ip()) || field == named(mapped)
    };
    let line = list.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
        let (local, remote) = (fields.get(1)?, fields.get(2)?);
        (is_at(local, ends.client) && is_at(remote, ends.daemon)).then_some(fields)
    })?;
    line.get(7)?.parse().ok()
}

/// An address as the kernel writes it: words in the order of the machine.
fn hex(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        format!("{:08X}", u32::from_ne_bytes(four))
    };
    bytes.chunks(4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_the_client_is_found_and_not_that_of_the_daemon() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:10DE 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 20 4 30 10 -1\n   \
             1: 0100007F:9C40 0100007F:10DE 01 00000000:00000000 00:00000000 00000000    33        0 2 1 0 20 4 30 10 -1\n";
        let ends = |client: &str| WebEnds {
            client: client.parse().unwrap(),
            daemon: "127.0.0.1:4318".parse().unwrap(),
        };
        if cfg!(target_endian = "little") {
            assert_eq!(owner(list, ends("127.0.0.1:40000")), Some(33));
        }
        assert_eq!(owner(list, ends("127.0.0.1:40001")), None);
        assert_eq!(owner("", ends("127.0.0.1:40000")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_connection_of_this_process_is_its_own() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = std::net::TcpListener::bind(address) else {
                continue;
            };
            let daemon = listener.local_addr().unwrap();
            let client = std::net::TcpStream::connect(daemon).unwrap();
            let mut ends = WebEnds {
                client: client.local_addr().unwrap(),
                daemon,
            };
            assert!(is_of_this_user(ends));
            ends.client.set_port(1);
            assert!(!is_of_this_user(ends));
        }
    }
}
