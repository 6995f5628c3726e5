//! What the user wants to log in to.
//!
//! Must not resolve anything: names are looked up by `edge`, and joined by `engine`.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The port of SSH (RFC 4253, section 4.1).
pub const SSH_PORT: u16 = 22;

/// The port of Remote Desktop (MS-RDPBCGR).
pub const RDP_PORT: u16 = 3389;

/// What was asked for on the command line, in a paste or in the instance list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// As typed, without `user@`: instance id, Name tag, address, DNS name or ssh_config alias.
    pub name: String,
    /// Login user, when one was given (`user@`, `-l`).
    pub user: Option<String>,
    /// Port, when one was given (`-p`).
    pub port: Option<u16>,
    /// Private-key files in the order given (`-i`).
    pub keys: Vec<String>,
    /// Jump host (`-J`).
    pub jump: Option<String>,
    /// ssh_config file (`-F`).
    pub config_file: Option<String>,
    /// `-o` options as typed.
    pub options: Vec<String>,
    /// Address to probe instead of the one found (`--address`).
    pub address: Option<IpAddr>,
    /// Client address that the instance sees (`--source-ip`).
    pub source_ip: Option<IpAddr>,
    /// Region where the instance is, when the list already told.
    pub region: Option<String>,
    /// AWS profile that was named (`--profile`), to be repeated in commands that are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// What kind of name a target is; decides how the instance is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// `i-` and 8 or 17 hexadecimal digits.
    InstanceId,
    /// An IP address.
    Address(IpAddr),
    /// A public or private DNS name that EC2 gives to instances.
    Ec2Dns,
    /// A Name tag, an ssh_config alias or another DNS name.
    Name,
}

impl Target {
    /// Reads `[user@]name`. Says what is wrong, and what to write instead, when it is malformed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (user, name) = match text.rsplit_once('@') {
            Some((user, name)) => (Some(user), name),
            None => (None, text),
        };
        if user.is_some_and(str::is_empty) || name.is_empty() {
            return Err(format!(
                "'{text}' is not a target: write an instance id, a Name tag, an address or user@one of these"
            ));
        }
        if text.chars().any(char::is_control) || name.starts_with('-') {
            return Err("a target has no control characters and does not begin with '-'".to_owned());
        }
        if name.starts_with("arn:") {
            return Self::from_arn(name).map(|id| Self { name: id, user: user.map(str::to_owned), ..Self::default() });
        }
        if looks_like_instance_id(name) && !is_instance_id(name) {
            return Err(format!("'{name}' is not an instance id: it is i- and 8 or 17 hexadecimal digits"));
        }
        if looks_like_address(name) && name.parse::<IpAddr>().is_err() {
            return Err(format!("'{name}' is not an IP address: four numbers from 0 to 255, or an IPv6 address"));
        }
        Ok(Self { name: name.to_owned(), user: user.map(str::to_owned), ..Self::default() })
    }

    fn from_arn(arn: &str) -> Result<String, String> {
        let id = arn.rsplit_once(":instance/").map(|(_, id)| id);
        match id {
            Some(id) if is_instance_id(id) && arn.split(':').count() == 6 => Ok(id.to_owned()),
            _ => Err(format!(
                "'{arn}' is not the ARN of an instance (arn:aws:ec2:REGION:ACCOUNT:instance/i-…): give the instance id"
            )),
        }
    }

    /// How the name should be looked for.
    pub fn kind(&self) -> TargetKind {
        if is_instance_id(&self.name) {
            return TargetKind::InstanceId;
        }
        if let Ok(address) = self.name.trim_matches(['[', ']']).parse() {
            return TargetKind::Address(address);
        }
        let lower = self.name.to_ascii_lowercase();
        if lower.ends_with(".amazonaws.com")
            || lower.ends_with(".amazonaws.com.cn")
            || lower.ends_with(".compute.internal")
            || lower.ends_with(".ec2.internal")
        {
            return TargetKind::Ec2Dns;
        }
        TargetKind::Name
    }
}

/// Whether a text has the form of an instance id.
pub fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|hex| {
        matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn looks_like_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|rest| {
        rest.len() >= 6
            && rest.chars().next().is_some_and(|c| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

fn looks_like_address(text: &str) -> bool {
    let dotted = text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let colons = text.matches(':').count() >= 2 && text.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
    dotted || colons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let kind = |text: &str| Target::parse(text).map(|t| t.kind());
        assert_eq!(kind("i-0a1b2c3d4e5f60718"), Ok(TargetKind::InstanceId));
        assert_eq!(kind("ubuntu@203.0.113.7"), Ok(TargetKind::Address("203.0.113.7".parse().unwrap())));
        assert_eq!(kind("2001:db8::7"), Ok(TargetKind::Address("2001:db8::7".parse().unwrap())));
        assert_eq!(kind("ec2-203-0-113-7.eu-west-1.compute.amazonaws.com"), Ok(TargetKind::Ec2Dns));
        assert_eq!(kind("i-beam"), Ok(TargetKind::Name));
        assert_eq!(kind("arn:aws:ec2:eu-west-1:111122223333:instance/i-0a1b2c3d4e5f60718"), Ok(TargetKind::InstanceId));
    }

    #[test]
    fn malformed_targets_are_refused_with_a_sentence() {
        for text in [
            "",
            "@web",
            "ubuntu@",
            "i-0a1b2c3d4e5f6071",
            "i-0000000g",
            "999.1.2.3",
            "1.2.3",
            "arn:aws:s3:::bucket",
            "-oProxyCommand=x",
            "a\u{1b}[2Jb",
            "arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-1",
        ] {
            let error = Target::parse(text).expect_err(text);
            assert!(error.len() > 20, "{text}: {error}");
        }
    }

    #[test]
    fn the_last_at_sign_separates_the_user() {
        let target = Target::parse("a@b@web-1").unwrap();
        assert_eq!((target.user.as_deref(), target.name.as_str()), (Some("a@b"), "web-1"));
    }
}
