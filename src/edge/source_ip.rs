//! The client's own address, as the internet sees it and as this host would send from.
//!
//! Must not decide which of them an instance sees; that depends on the target's address. Used by the
//! probe of the own address.

use crate::core::fact::{Fact, Why};
use crate::edge::tcp::{whole_millis, without_number};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::timeout;

/// The service that AWS itself recommends for the purpose; it answers over IPv4.
const URL: &str = "https://checkip.amazonaws.com/";
/// Limit of the whole question.
const LIMIT: Duration = Duration::from_secs(3);
/// No address is longer.
const LONGEST: usize = 64;

/// The public address that requests to AWS come from. Through a proxy it would be the proxy's, and ssh
/// does not go through that: then it is not asked for.
pub async fn checkip() -> Fact<IpAddr> {
    if proxied(|name| std::env::var(name).ok()) {
        return Fact::unknown(Why::needs(
            "--source-ip: HTTPS goes through a proxy here, and the instance sees another address of yours",
        ));
    }
    let doing = format!("asking {URL}");
    match timeout(LIMIT, ask()).await {
        Err(_) => Fact::unknown(Why::TimedOut { doing, after_ms: whole_millis(LIMIT) }),
        Ok(Err(reason)) => Fact::unknown(Why::failed(doing, reason)),
        Ok(Ok(address)) => Fact::known(address, URL),
    }
}

/// Over the HTTPS client of the AWS SDK; `HTTPS_PROXY` and `NO_PROXY` count as they do there.
async fn ask() -> Result<IpAddr, String> {
    let connector = aws_smithy_http_client::Connector::builder()
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    let mut request = HttpRequest::empty();
    request.set_uri(URL).map_err(|error| error.to_string())?;
    let response = connector.call(request).await.map_err(|error| innermost(&error))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("the answer was HTTP {status}"));
    }
    let mut stream = ByteStream::new(response.into_body());
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.map_err(|error| innermost(&error))?);
        if body.len() > LONGEST {
            break;
        }
    }
    parse(&body)
}

/// Reads the body: one address and a line end.
fn parse(body: &[u8]) -> Result<IpAddr, String> {
    let text = std::str::from_utf8(body).ok().filter(|_| body.len() <= LONGEST).map(str::trim);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| "the answer is no address".to_owned())
}

/// Whether the question goes through a proxy, as far as the environment tells.
fn proxied(var: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| var(name).is_some_and(|value| !value.trim().is_empty());
    let exempt = ["NO_PROXY", "no_proxy"].iter().filter_map(|name| var(name)).any(|list| {
        list.split(',')
            .map(|entry| entry.trim().trim_start_matches('.'))
            .any(|entry| entry == "*" || (!entry.is_empty() && "checkip.amazonaws.com".ends_with(entry)))
    });
    !exempt && ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].iter().any(|name| set(name))
}

/// The last error of a chain says what really happened.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    without_number(&last.to_string())
}

/// The address that this host would send from to reach `target`; no packet is sent. For a private
/// target (VPN, Direct Connect) it is what the instance sees, unless something translates addresses.
pub fn local_address_towards(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connecting a datagram socket only asks the routing table. The port does not matter; it must not be 0.
    socket.connect(SocketAddr::new(target, 22)).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_body_is_one_address() {
        assert_eq!(parse(b"203.0.113.7\n"), Ok("203.0.113.7".parse().unwrap()));
        assert_eq!(parse(b" 2001:db8::1 "), Ok("2001:db8::1".parse().unwrap()));
        for body in [
            b"".as_slice(),
            b"<html>",
            b"203.0.113.7 10.0.0.1",
            &[b'1'; 65],
            b"\xff",
            &[b"203.0.113.7".as_slice(), &[b' '; 60]].concat(),
        ] {
            assert!(parse(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn the_way_to_this_host_is_this_host() {
        assert_eq!(local_address_towards(Ipv4Addr::LOCALHOST.into()), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_proxy_is_noticed() {
        let with = |vars: &'static [(&'static str, &'static str)]| {
            proxied(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(with(&[("HTTPS_PROXY", "http://proxy:3128")]));
        assert!(with(&[("all_proxy", "http://proxy:3128"), ("NO_PROXY", "localhost,.internal")]));
        assert!(!with(&[]));
        assert!(!with(&[("https_proxy", " ")]));
        assert!(!with(&[("HTTP_PROXY", "http://proxy:3128")]));
        assert!(!with(&[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", "x, .amazonaws.com")]));
    }
}
