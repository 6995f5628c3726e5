//! TCP connect: does a packet get there and back.
//!
//! Must not send a byte, and must not judge: a refused connection is a fact like any other. Used by
//! the TCP probe, and by [`super::ssh`], which goes on with the stream.

use crate::core::fact::{Fact, Why};
use crate::core::facts::wire::Tcp;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects once, within `limit`. The stream is given back open, so that one connection can serve for
/// more: OpenSSH 9.8 and newer count a connection that ends without a login attempt against the
/// client's address (sshd_config(5), `PerSourcePenalties noauth`).
pub async fn connect(address: IpAddr, port: u16, limit: Duration) -> (Fact<Tcp>, Option<TcpStream>) {
    let target = SocketAddr::new(address, port);
    let begun = Instant::now();
    let outcome = timeout(limit, TcpStream::connect(target)).await;
    let millis = whole_millis(begun.elapsed());
    let (fact, stream) = match outcome {
        Err(_) => (Ok(Tcp::TimedOut { after_ms: whole_millis(limit) }), None),
        Ok(Ok(stream)) => (Ok(Tcp::Connected { millis }), Some(stream)),
        Ok(Err(error)) => (classify(&error, millis), None),
    };
    let fact = match fact {
        Ok(tcp) => Fact::known(tcp, format!("TCP connect to {target}")),
        Err(why) => Fact::unknown(why),
    };
    (fact, stream)
}

/// What an error of connect(2) says. Errors that are about this process and not about the way to the
/// target (no file descriptor left, …) are no outcome.
fn classify(error: &Error, millis: u64) -> Result<Tcp, Why> {
    match error.kind() {
        ErrorKind::ConnectionRefused => Ok(Tcp::Refused { millis }),
        ErrorKind::TimedOut => Ok(Tcp::TimedOut { after_ms: millis }),
        // EHOSTUNREACH, ENETUNREACH, ENETDOWN: an ICMP answer or no route here. EACCES and EPERM: a
        // firewall on this host. EADDRNOTAVAIL: no own address of that family.
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::PermissionDenied
        | ErrorKind::AddrNotAvailable
        | ErrorKind::Unsupported
        | ErrorKind::InvalidInput => Ok(Tcp::Unreachable { reason: os_words(error) }),
        _ if is_unreachable_by_number(error) => Ok(Tcp::Unreachable { reason: os_words(error) }),
        _ => Err(Why::failed("TCP connect", os_words(error))),
    }
}

/// Errors for which the standard library has no kind.
fn is_unreachable_by_number(error: &Error) -> bool {
    use rustix::io::Errno;
    let Some(errno) = Errno::from_io_error(error) else {
        return false;
    };
    [Errno::HOSTDOWN, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT].contains(&errno)
}

/// The operating system's words without Rust's ` (os error N)`.
pub(super) fn os_words(error: &Error) -> String {
    without_number(&error.to_string())
}

/// The text of an error without Rust's ` (os error N)`.
pub(super) fn without_number(text: &str) -> String {
    text.rfind(" (os error ").map_or(text, |at| &text[..at]).to_owned()
}

/// Milliseconds of a duration, at most `u64::MAX`.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::net::Ipv4Addr;
    use tokio::net::{TcpListener, TcpSocket};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn an_open_port_connects_and_a_closed_one_refuses() {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fact, stream) = connect(HERE, port, Duration::from_secs(5)).await;
        assert!(matches!(fact.value(), Some(Tcp::Connected { .. })), "{fact:?}");
        assert_eq!(fact.source(), format!("TCP connect to 127.0.0.1:{port}"));
        assert!(stream.is_some());
        // Bound and not listening: nobody else can take the port meanwhile.
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind((HERE, 0).into()).unwrap();
        let port = closed.local_addr().unwrap().port();
        let (fact, stream) = connect(HERE, port, Duration::from_secs(5)).await;
        assert!(matches!(fact.value(), Some(Tcp::Refused { .. })), "{fact:?}");
        assert!(stream.is_none());
    }

    #[test]
    fn errors_are_told_apart() {
        let of = |errno: Errno| classify(&Error::from(errno), 7);
        assert_eq!(of(Errno::CONNREFUSED), Ok(Tcp::Refused { millis: 7 }));
        assert_eq!(of(Errno::TIMEDOUT), Ok(Tcp::TimedOut { after_ms: 7 }));
        for errno in [
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::ACCESS,
            Errno::PERM,
            Errno::HOSTDOWN,
            Errno::AFNOSUPPORT,
            Errno::ADDRNOTAVAIL,
        ] {
            assert!(matches!(of(errno), Ok(Tcp::Unreachable { .. })), "{errno}");
        }
        assert_eq!(of(Errno::HOSTUNREACH), Ok(Tcp::Unreachable { reason: "No route to host".to_owned() }));
        assert!(matches!(of(Errno::MFILE), Err(Why::Failed { .. })));
    }
}
