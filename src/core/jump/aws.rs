//! A `ProxyCommand` that goes through a door of AWS: Session Manager, or an EC2 Instance Connect Endpoint.
//!
//! Such a command needs no program of the user's: this one opens the same door itself. Reads the forms that AWS documents
//! and those of `port22 proxy`; anything else is a command that only ssh runs. Pure.

use crate::core::fact::Why;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::SshConfig;
use crate::core::target::{SSH_PORT, is_instance_id};

/// The door that a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsDoor {
    /// A port session of Session Manager (`AWS-StartSSHSession`).
    Ssm,
    /// A tunnel of an EC2 Instance Connect Endpoint.
    Eice,
}

/// Where a command leads, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsWay {
    /// The door.
    pub door: AwsDoor,
    /// Instance id, or `mi-…`.
    pub target: String,
    /// Port on the instance.
    pub port: u16,
    /// `--region`, when the command names one.
    pub region: Option<String>,
    /// `--profile`, when the command names one.
    pub profile: Option<String>,
    /// `--instance-connect-endpoint-id`, when the command names one.
    pub endpoint: Option<String>,
    /// The command as configured.
    pub command: String,
}

impl AwsWay {
    /// Whether the command leads to this instance, in the Region that it names. Else the tunnel of an endpoint, which goes
    /// to an address and not to an id, would end somewhere else than the command says.
    pub fn leads_to(&self, instance: &Instance) -> Result<(), Why> {
        let (target, command) = (&self.target, &self.command);
        if *target != instance.id {
            let id = &instance.id;
            return Err(Why::needs(format!(
                "{target} as the target: your ProxyCommand leads there, not to {id} ({command})"
            )));
        }
        match &self.region {
            Some(region) if *region != instance.region => Err(Why::needs(format!(
                "{target} in {region}: your ProxyCommand names that Region, and the instance is in {} ({command})",
                instance.region
            ))),
            _ => Ok(()),
        }
    }
}

/// Reads a command; `typed` is the name that the user gave, which ssh puts in for `%h` where no `HostName` is set. `None`
/// for any other command, and for one that leads to no instance id.
pub(super) fn read(command: &str, config: &SshConfig, typed: &str, port: Option<u16>) -> Option<AwsWay> {
    let host = config.hostname.as_deref().unwrap_or(typed);
    let port = port.or(config.port).unwrap_or(SSH_PORT);
    let mut words = split(command)?;
    if words.first().is_some_and(|w| w == "exec") {
        words.remove(0);
    }
    let program = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    if let [shell, flag, script] = words.as_slice()
        && ["sh", "bash", "dash", "zsh"].contains(&program(shell).as_str())
        && flag == "-c"
    {
        words = split(script)?;
    }
    let filled =
        |word: &str| word.replace("%h", host).replace("%p", &port.to_string()).replace("%n", typed).replace("%%", "%");
    let words: Vec<String> = words.iter().map(|w| filled(w)).collect();
    let (first, rest) = words.split_first()?;
    let found = match program(first).as_str() {
        "aws" => by_cli(rest),
        "port22" => by_port22(rest),
        _ => None,
    }?;
    let good = is_instance_id(&found.target) || found.target.starts_with("mi-");
    good.then(|| AwsWay { command: command.to_owned(), ..found })
}

/// Words without a value, and options with theirs.
type Parsed<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

/// Options with values, and words without; `None` when an option is not in the list.
fn options<'a>(words: &'a [String], known: &[&str]) -> Option<Parsed<'a>> {
    let (mut plain, mut options) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            plain.push(word);
            continue;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value),
            None => (word, words.next()?),
        };
        if !known.contains(&name) {
            return None;
        }
        options.push((name, value));
    }
    Some((plain, options))
}

fn by_cli(words: &[String]) -> Option<AwsWay> {
    let known = [
        "--target",
        "--document-name",
        "--parameters",
        "--region",
        "--profile",
        "--reason",
        "--instance-id",
        "--remote-port",
        "--instance-connect-endpoint-id",
        "--max-tunnel-duration",
    ];
    let (plain, options) = options(words, &known)?;
    let value = |name: &str| options.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let (door, target, port) = match plain.as_slice() {
        ["ssm", "start-session"] if value("--document-name")? == "AWS-StartSSHSession" => {
            let port = value("--parameters").map_or(Some(SSH_PORT), |text| port_of(&text))?;
            (AwsDoor::Ssm, value("--target")?, port)
        }
        ["ec2-instance-connect", "open-tunnel"] => {
            let port = value("--remote-port").map_or(Some(SSH_PORT), |port| port.parse().ok())?;
            (AwsDoor::Eice, value("--instance-id")?, port)
        }
        _ => return None,
    };
    let (region, profile, endpoint) = (value("--region"), value("--profile"), value("--instance-connect-endpoint-id"));
    Some(AwsWay { door, target, port, region, profile, endpoint, command: String::new() })
}

/// `portNumber=22`, or the same as JSON.
fn port_of(text: &str) -> Option<u16> {
    let digits: String = text.split_once("portNumber")?.1.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn by_port22(words: &[String]) -> Option<AwsWay> {
    let (plain, options) = options(words, &["--door", "--region", "--profile", "--timeout", "--log"])?;
    let value = |name: &str| options.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let ["proxy", target, port] = plain.as_slice() else { return None };
    let door = match value("--door").as_deref() {
        None | Some("ssm") => AwsDoor::Ssm,
        Some("eice") => AwsDoor::Eice,
        Some(_) => return None,
    };
    let (region, profile) = (value("--region"), value("--profile"));
    Some(AwsWay {
        door,
        target: (*target).to_owned(),
        port: port.parse().ok()?,
        region,
        profile,
        endpoint: None,
        command: String::new(),
    })
}

/// The words of a simple command as a POSIX shell reads them; `None` where it does more than splitting.
fn split(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            '\'' => {
                begun = true;
                loop {
                    match letters.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                begun = true;
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            _ => return None,
                        },
                        '$' | '`' => return None,
                        c => word.push(c),
                    }
                }
            }
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '\\' | '*' | '?' | '#' => return None,
            c if c.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                begun = true;
                word.push(c);
            }
        }
    }
    if begun {
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "i-0a1b2c3d4e5f60718";

    fn of(command: &str, typed: &str) -> Option<AwsWay> {
        read(command, &SshConfig::default(), typed, None)
    }

    #[test]
    fn the_documented_commands_are_known() {
        for (command, door, port) in [
            (
                "sh -c \"aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters 'portNumber=%p'\"",
                AwsDoor::Ssm,
                22,
            ),
            (
                "aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=2222",
                AwsDoor::Ssm,
                2222,
            ),
            (
                "exec /usr/local/bin/aws ssm start-session --document-name=AWS-StartSSHSession --target=%h --parameters '{\"portNumber\":[\"%p\"]}'",
                AwsDoor::Ssm,
                22,
            ),
            ("aws ec2-instance-connect open-tunnel --instance-id %h", AwsDoor::Eice, 22),
            ("port22 proxy %h %p", AwsDoor::Ssm, 22),
            ("port22 proxy %h %p --door eice", AwsDoor::Eice, 22),
        ] {
            let way = of(command, ID).unwrap_or_else(|| panic!("{command}"));
            assert_eq!((way.door, way.port, way.target.as_str()), (door, port, ID), "{command}");
        }
        let way = of("port22 proxy %h %p --region eu-west-1 --profile 'it is'", ID).unwrap();
        assert_eq!((way.region.as_deref(), way.profile.as_deref()), (Some("eu-west-1"), Some("it is")));
    }

    #[test]
    fn a_command_leads_to_its_own_instance_region_and_endpoint() {
        let command = "aws ec2-instance-connect open-tunnel --instance-id %h --region eu-west-1 \
                       --instance-connect-endpoint-id eice-0123456789abcdef0";
        let way = of(command, ID).unwrap();
        assert_eq!(way.endpoint.as_deref(), Some("eice-0123456789abcdef0"));
        let instance =
            |id: &str, region: &str| Instance { id: id.to_owned(), region: region.to_owned(), ..Instance::default() };
        assert_eq!(way.leads_to(&instance(ID, "eu-west-1")), Ok(()));
        for (id, region) in [("i-0ffffffffffffffff", "eu-west-1"), (ID, "us-east-1")] {
            let why = way.leads_to(&instance(id, region)).expect_err("another place").text();
            assert!(why.contains(ID) && why.contains("ProxyCommand"), "{why}");
        }
        let anywhere = of("aws ec2-instance-connect open-tunnel --instance-id %h", ID).unwrap();
        assert_eq!(anywhere.leads_to(&instance(ID, "us-east-1")), Ok(()));
        assert_eq!(anywhere.endpoint, None);
    }

    #[test]
    fn the_host_name_stands_for_the_alias() {
        let config = SshConfig { hostname: Some(ID.to_owned()), port: Some(2022), ..SshConfig::default() };
        let way = read("port22 proxy %h %p", &config, "web", None).unwrap();
        assert_eq!((way.target.as_str(), way.port), (ID, 2022));
        assert_eq!(of("port22 proxy %h %p", "web"), None, "no instance is named");
    }

    #[test]
    fn other_commands_stay_the_users() {
        for command in [
            "nc -x proxy:1080 %h %p",
            "aws ssm start-session --target %h",
            "aws ssm start-session --target %h --document-name AWS-StartPortForwardingSession --parameters portNumber=%p",
            "aws --endpoint-url http://x ssm start-session --target %h --document-name AWS-StartSSHSession",
            "sh -c \"aws ssm start-session --target $(lookup %h) --document-name AWS-StartSSHSession\"",
            "aws ec2-instance-connect open-tunnel --instance-id %h | tee log",
            "sh -c 'unclosed",
            "",
        ] {
            assert_eq!(of(command, ID), None, "{command}");
        }
    }
}
