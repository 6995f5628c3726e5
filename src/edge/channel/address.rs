//! The address that StartSession gives: may the token go there, and where is that.
//!
//! Pure. Source: AWS PrivateLink and "AWS Systems Manager endpoints and quotas" for the hosts.

use std::net::IpAddr;
use tokio_tungstenite::tungstenite::http::Uri;

/// Domains of AWS, of all partitions.
const DOMAINS: [&str; 9] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "api.aws",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "csp.hci.ic.gov",
    "cloud.adc-e.uk",
];

/// A checked address of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address as it was given, byte for byte.
    pub url: String,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Address {
    /// Reads and checks an address. The token opens the session for whoever gets it: so it goes to Session Manager's own
    /// hosts only, unless `custom` says that the user chose another endpoint; without TLS it never leaves this machine.
    pub fn read(url: &str, custom: bool) -> Result<Self, String> {
        let address = Self::parse(url)?;
        if address.secure && !custom && !is_session_manager(&address.host) {
            return Err(format!("the service gave an address that is not Session Manager's: {}", address.host));
        }
        Ok(address)
    }

    /// Reads and checks the address of an EC2 Instance Connect Endpoint: a host of AWS, or one of this machine.
    pub fn tunnel(url: &str) -> Result<Self, String> {
        let address = Self::parse(url)?;
        let of_aws = DOMAINS.iter().any(|d| address.host.strip_suffix(d).is_some_and(|rest| rest.ends_with('.')));
        if address.secure && !of_aws && !address.is_loopback() {
            return Err(format!("the endpoint's name is not one of AWS: {}", address.host));
        }
        Ok(address)
    }

    /// Without TLS it never leaves this machine.
    fn parse(url: &str) -> Result<Self, String> {
        let unusable = || "the service gave an address that is no WebSocket address".to_owned();
        let uri: Uri = url.parse().map_err(|_| unusable())?;
        let authority = uri.authority().ok_or_else(unusable)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(unusable());
        }
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(unusable()),
        };
        let address = Self {
            url: url.to_owned(),
            secure,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            host,
        };
        if !secure && !address.is_loopback() {
            return Err(format!(
                "the service gave an unencrypted address ({}), which is used on this machine only",
                address.host
            ));
        }
        Ok(address)
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether the address carries its signature already.
    pub fn is_presigned(&self) -> bool {
        let query = self.url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        query.split('&').any(|pair| pair.to_ascii_lowercase().starts_with("x-amz-"))
    }
}

/// `ssmmessages.REGION.amazonaws.com`, its FIPS and dual-stack forms, and VPC endpoints.
fn is_session_manager(host: &str) -> bool {
    let labels = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain)?.strip_suffix('.'));
    labels.is_some_and(|labels| labels.split('.').any(|l| l == "ssmmessages" || l == "ssmmessages-fips"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_session_manager_only() {
        for (url, custom, good) in [
            (
                "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/a?role=publish_subscribe&cell-number=A+/=",
                false,
                true,
            ),
            ("wss://ssmmessages-fips.us-gov-west-1.amazonaws.com/x", false, true),
            ("wss://ssmmessages.cn-north-1.amazonaws.com.cn/x", false, true),
            ("wss://ssmmessages.eu-west-1.api.aws/x", false, true),
            ("wss://vpce-1.ssmmessages.eu-west-1.vpce.amazonaws.com/x", false, true),
            ("wss://evilssmmessages.amazonaws.com/x", false, false),
            ("wss://ssmmessages.amazonaws.com.evil.example/x", false, false),
            ("wss://ssmmessages.evilamazonaws.com/x", false, false),
            ("wss://ssmmessages.eu-west-1.amazonaws.com@evil.example/x", false, false),
            ("wss://s3.amazonaws.com/x", false, false),
            ("wss://gateway.example/x", true, true),
            ("wss://gateway.example/x", false, false),
            ("ws://gateway.example/x", true, false),
            ("ws://ssmmessages.eu-west-1.amazonaws.com/x", false, false),
            ("ws://127.0.0.1:8080/x", false, true),
            ("ws://[::1]:8080/x", true, true),
            ("ws://127.0.0.1.evil.example/x", true, false),
            ("https://ssmmessages.eu-west-1.amazonaws.com/x", false, false),
            ("", true, false),
            ("wss://", true, false),
        ] {
            assert_eq!(Address::read(url, custom).is_ok(), good, "{url} {custom}");
        }
    }

    #[test]
    fn the_address_is_kept_as_it_came() {
        let url = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/a?cell-number=A+/bc==";
        let address = Address::read(url, false).expect("an address");
        assert_eq!((address.url.as_str(), address.port, address.secure), (url, 443, true));
        assert!(!address.is_presigned());
        let signed = Address::read("wss://h/x?role=a&X-Amz-Signature=b", true).expect("an address");
        assert!(signed.is_presigned());
    }
}
