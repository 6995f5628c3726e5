//! Addresses on loopback, and what answers there when no sshd does.
//!
//! No packet filter is needed: a listening socket whose queue of connections is full makes the kernel
//! drop further SYNs, and a client meets a real time-out. Nobody listening is a real refusal.

use crate::sshd::Sshd;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};

/// An address and a port of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub ip: Ipv4Addr,
    pub port: u16,
}

impl Place {
    pub fn socket(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip), self.port)
    }
}

/// An address in 127.0.0.0/8 that no other test of this run has; never 127.0.0.1, which stands for a tunnel.
pub fn address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let here = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let octet = |value: u32| u8::try_from(value % 250 + 2).expect("less than 252");
    Ipv4Addr::new(127, octet(process), octet(process / 250), octet(here))
}

/// Where nobody listens.
pub fn closed() -> Place {
    let ip = address();
    let port = TcpListener::bind((ip, 0)).expect("a free port").local_addr().expect("its address").port();
    Place { ip, port }
}

/// Where every packet is dropped.
pub struct Silent {
    pub place: Place,
    _queue: Vec<TcpStream>,
    _listener: tokio::net::TcpListener,
    _runtime: Runtime,
}

/// Opens a port that takes no more connections.
pub fn silent() -> Silent {
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    let ip = address();
    let (listener, place) = runtime.block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((ip, 0))).expect("a free port");
        let listener = socket.listen(0).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        (listener, Place { ip, port })
    });
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&place.socket(), Duration::from_millis(500)) {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue of a listener does not fill");
    }
    Silent { place, _queue: queue, _listener: listener, _runtime: runtime }
}

/// A real sshd at an address of its own, which takes the keys of `authorized`.
pub fn sshd(authorized: &[&Path]) -> (Sshd, Place) {
    let ip = address();
    let sshd = Sshd::start(authorized, &format!("ListenAddress {ip}")).expect("sshd is needed: install openssh-server");
    assert!(sshd.wait_for("Server listening", 2), "{}", sshd.text());
    let place = Place { ip, port: sshd.port };
    (sshd, place)
}
