//! Turns off Nagle's algorithm on connections that sqlx has opened.
//!
//! With it, the last two writes of a COPY wait for a delayed TCP ack: 40 ms per batch.
//!
//! There is no cleaner way: sqlx 0.9 never sets `TCP_NODELAY` and has no option for it. It
//! neither accepts a socket from the caller nor exposes the socket of a connection.
//!
//! So this module finds the sockets among the process's own descriptors in /proc. It
//! duplicates each one and sets the option on the duplicate, which shares it with the
//! original.

/// Turns Nagle's algorithm off for every TCP connection of this process to that port.
///
/// It ignores errors, because the option affects performance only.
#[cfg(target_os = "linux")]
pub fn turn_off(server_port: u16) {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use socket2::SockRef;

    let Ok(this_process) = pidfd_open(getpid(), PidfdFlags::empty()) else {
        return;
    };
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    for descriptor in descriptors.flatten() {
        let Some(number) = socket_number(&descriptor) else {
            continue;
        };
        let Ok(duplicate) = pidfd_getfd(&this_process, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let socket = SockRef::from(&duplicate);
        let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
        if peer.is_some_and(|peer| peer.port() == server_port) {
            // A closing socket may refuse.
            let _ = socket.set_tcp_nodelay(true);
        }
    }
}

/// Does nothing: other systems have no /proc.
#[cfg(not(target_os = "linux"))]
pub fn turn_off(_server_port: u16) {}

/// The number of a descriptor in /proc/self/fd, if it is a socket.
#[cfg(target_os = "linux")]
fn socket_number(descriptor: &std::fs::DirEntry) -> Option<i32> {
    let target = std::fs::read_link(descriptor.path()).ok()?;
    if !target.to_str()?.starts_with("socket:") {
        return None;
    }
    descriptor.file_name().to_str()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn only_connections_to_the_server_are_changed() {
        let [server, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let connect = |to: &TcpListener| TcpStream::connect(to.local_addr().unwrap()).unwrap();
        let (ours, theirs) = (connect(&server), connect(&other));
        assert!(!ours.nodelay().unwrap());
        super::turn_off(server.local_addr().unwrap().port());
        assert!(ours.nodelay().unwrap());
        assert!(!theirs.nodelay().unwrap());
    }
}
