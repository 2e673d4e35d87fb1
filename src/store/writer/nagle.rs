//! Turns Nagle's algorithm off on connections that sqlx has opened.
//!
//! sqlx 0.9 leaves it on and hides its socket. A COPY ends with two writes in a
//! row, of which the second then waits for the first one's delayed ack: 40 ms
//! a batch. So our own descriptors are looked through for sockets whose peer
//! is the server; a duplicate shares the option with its original.

/// Does so for every TCP connection of this process to that port; what cannot
/// be done is left, for it only costs time.
#[cfg(target_os = "linux")]
pub fn turn_off(server_port: u16) {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use socket2::SockRef;

    let Ok(own) = pidfd_open(getpid(), PidfdFlags::empty()) else {
        return;
    };
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    for descriptor in descriptors.flatten() {
        let Some(number) = socket_number(&descriptor) else {
            continue;
        };
        let Ok(duplicate) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let socket = SockRef::from(&duplicate);
        let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
        if peer.is_some_and(|peer| peer.port() == server_port) {
            // A socket that is closing may refuse.
            let _ = socket.set_tcp_nodelay(true);
        }
    }
}

/// Elsewhere it stays on.
#[cfg(not(target_os = "linux"))]
pub fn turn_off(_server_port: u16) {}

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
