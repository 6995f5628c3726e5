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
/// An address on the internet that the routing table is asked about when the target's is not known; reserved for
/// documentation (RFC 5737), and never sent to.
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The public address that requests to AWS come from, for a target of the same family. Through a proxy it would be
/// the proxy's, and ssh does not go through that: then it is not asked for. Three connections are made, because some
/// networks let every one out by another address; no single one is then the address that the instance sees.
pub async fn checkip(target: Option<IpAddr>) -> Fact<IpAddr> {
    if proxied(|name| std::env::var(name).ok()) {
        return Fact::unknown(Why::needs(
            "--source-ip: HTTPS goes through a proxy here, and the instance sees another address of yours",
        ));
    }
    let doing = format!("asking {URL}");
    let answers = timeout(LIMIT, async {
        let (first, second, third) = tokio::join!(ask(), ask(), ask());
        [first, second, third]
    });
    match answers.await {
        Err(_) => Fact::unknown(Why::TimedOut { doing, after_ms: whole_millis(LIMIT) }),
        Ok(answers) => one_of(&answers, target, local_address_towards(target.unwrap_or(ELSEWHERE)), doing),
    }
}

/// The one address that all answers agree on.
fn one_of(
    answers: &[Result<IpAddr, String>],
    target: Option<IpAddr>,
    interface: Option<IpAddr>,
    doing: String,
) -> Fact<IpAddr> {
    let mut seen: Vec<IpAddr> = answers.iter().filter_map(|answer| answer.as_ref().ok()).copied().collect();
    seen.sort();
    seen.dedup();
    match seen.as_slice() {
        [] => {
            let reason = answers.iter().find_map(|answer| answer.as_ref().err()).cloned();
            Fact::unknown(Why::failed(doing, reason.unwrap_or_else(|| "no answer".to_owned())))
        }
        [one] if target.is_some_and(|target| target.is_ipv4() != one.is_ipv4()) => Fact::unknown(Why::needs(format!(
            "--source-ip: requests leave from {one} here, and the target's address is of the other family"
        ))),
        // Carrier-grade NAT (RFC 6598): neighbours share the address, and it changes.
        [one] if interface.is_some_and(is_shared) => {
            Fact::known(*one, format!("{URL} (behind carrier-grade NAT: shared with others, and changing)"))
        }
        [one] => Fact::known(*one, URL),
        several => {
            let all = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            Fact::unknown(Why::needs(format!("--source-ip: requests leave from several addresses here ({all})")))
        }
    }
}

/// Whether an address is in the range between a carrier's NAT and its customers (RFC 6598).
fn is_shared(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]))
}

/// This machine's own address towards a global IPv6 target, which sees that very address: nothing translates it.
pub fn own_ipv6(target: IpAddr) -> Fact<IpAddr> {
    match local_address_towards(target).filter(|own| is_global_ipv6(*own)) {
        Some(own) => Fact::known(own, format!("the own interface towards {target}")),
        None => Fact::unknown(Why::needs("IPv6: this machine has no global IPv6 address towards the target")),
    }
}

/// Whether an IPv6 address is one that the internet sees (2000::/3, RFC 4291 and IANA's registry).
fn is_global_ipv6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] >> 13 == 1)
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
    fn several_answers_must_agree() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ok = |text: &str| Ok(ip(text));
        let said = |answers: &[Result<IpAddr, String>], target: Option<&str>, interface: Option<&str>| {
            one_of(answers, target.map(ip), interface.map(ip), "asking".to_owned())
        };
        let same = [ok("203.0.113.7"), Err("reset".to_owned()), ok("203.0.113.7")];
        assert_eq!(said(&same, Some("198.51.100.1"), None), Fact::known(ip("203.0.113.7"), URL));
        let shared = said(&same, None, Some("100.64.3.2"));
        assert!(shared.is_known() && shared.source().contains("carrier-grade NAT"), "{shared:?}");
        assert_eq!(said(&same, None, Some("100.128.0.1")).source(), URL);
        let pool = said(&[ok("203.0.113.7"), ok("203.0.113.8"), ok("203.0.113.7")], None, None);
        assert!(pool.why_not().unwrap().text().contains("203.0.113.7 and 203.0.113.8"), "{pool:?}");
        assert!(said(&same, Some("2001:db8::1"), None).why_not().is_some(), "another family");
        assert!(matches!(said(&[Err("reset".to_owned())], None, None).why_not(), Some(Why::Failed { .. })));
    }

    #[test]
    fn only_a_global_address_is_seen_over_ipv6() {
        for (text, global) in [
            ("2600:1f18::7", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("::1", false),
            ("::ffff:203.0.113.7", false),
            ("203.0.113.7", false),
        ] {
            assert_eq!(is_global_ipv6(text.parse().unwrap()), global, "{text}");
        }
        assert!(matches!(own_ipv6("::1".parse().unwrap()), Fact::Unknown { .. }));
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
