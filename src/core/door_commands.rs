//! Every way in as the command line that takes it elsewhere: on another machine, in another terminal, in a runbook.
//!
//! Pure. A line is quoted for a POSIX shell and runs as it stands, with AWS's or OpenSSH's own programs where they can do
//! it. Must not hold a secret: keys are named by their files.

use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::jump::{Way, inner, way};
use crate::core::report::target_words;
use crate::core::rules::{self, connect_endpoint};
use crate::core::serial_console;
use crate::core::target::SSH_PORT;
use crate::core::text::shell_quote;
use serde::Serialize;

/// A command line, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it does and needs, in a few words.
    pub about: &'static str,
    /// The line.
    pub command: String,
}

/// File of a key that a line makes for itself.
const MADE: &str = "./port22-serial";

/// The lines of a door (`doors[].id`), the plainest first; none where the facts do not tell enough.
pub fn lines(door: &str, facts: &Facts) -> Vec<Line> {
    let line = |about, command: String| Line { about, command };
    let instance = facts.instance();
    match (door, instance) {
        ("ssh", _) => vec![line("OpenSSH, as you would type it", ssh(facts))],
        ("ssm", Some(instance)) => vec![
            line(
                "a shell; needs the AWS CLI and its Session Manager plugin",
                aws(facts, instance, &["ssm", "start-session", "--target", &instance.id]),
            ),
            line("SSH with your own key, without the plugin", through(facts, instance, "")),
        ],
        ("eic", Some(instance)) => {
            let port = facts.port().to_string();
            let mut words = vec!["ec2-instance-connect", "ssh", "--instance-id", &instance.id];
            let user = user(facts);
            words.extend(["--os-user", user.as_str(), "--connection-type", "direct"]);
            let address = facts.target.address.map(|a| a.to_string());
            words.extend(address.as_deref().into_iter().flat_map(|a| ["--instance-ip", a]));
            if facts.port() != SSH_PORT {
                words.extend(["--ssh-port", &port]);
            }
            vec![line("needs the AWS CLI, version 2; it makes and pushes the key", aws(facts, instance, &words))]
        }
        ("eice", Some(instance)) => {
            let user = user(facts);
            let mut words = vec!["ec2-instance-connect", "ssh", "--instance-id", &instance.id];
            words.extend(["--os-user", user.as_str(), "--connection-type", "eice"]);
            let endpoint = connect_endpoint(facts).ok().map(|e| format!("endpointId={}", e.id));
            words.extend(endpoint.as_deref().into_iter().flat_map(|e| ["--eice-options", e]));
            vec![
                line("needs the AWS CLI, version 2; it makes and pushes the key", aws(facts, instance, &words)),
                line("SSH with your own key through the endpoint", through(facts, instance, " --door eice")),
            ]
        }
        ("serial", Some(instance)) => {
            vec![line("needs the AWS CLI; the key holds for 60 seconds", serial(facts, instance))]
        }
        ("user-data", Some(_)) => {
            vec![line("shows the plan, and asks", format!("port22 fix user-data-repair {}", target_words(facts)))]
        }
        ("rescue", Some(_)) => {
            vec![line("shows the plan, and asks", format!("port22 fix root-volume-rescue {}", target_words(facts)))]
        }
        _ => Vec::new(),
    }
}

/// The plainest line of a door.
pub fn line(door: &str, facts: &Facts) -> Option<String> {
    lines(door, facts).into_iter().next().map(|line| line.command)
}

fn user(facts: &Facts) -> String {
    rules::users_to_try(facts).into_iter().next().unwrap_or_else(|| "ec2-user".to_owned())
}

/// A call of the AWS CLI for the instance's Region and the profile in use.
fn aws(facts: &Facts, instance: &Instance, words: &[&str]) -> String {
    let mut out = vec!["aws".to_owned()];
    out.extend(words.iter().map(|w| shell_quote(w)));
    out.extend(place(facts, instance));
    out.join(" ")
}

/// Region and profile, quoted.
fn place(facts: &Facts, instance: &Instance) -> Vec<String> {
    let mut out = vec!["--region".to_owned(), shell_quote(&instance.region)];
    if let Some(profile) = &facts.target.profile {
        out.extend(["--profile".to_owned(), shell_quote(profile)]);
    }
    out
}

/// ssh with the options of the target.
fn options(facts: &Facts) -> Vec<String> {
    let target = &facts.target;
    let mut words = vec!["ssh".to_owned()];
    let mut put = |flag: &str, value: &str| words.extend([flag.to_owned(), shell_quote(value)]);
    if let Some(file) = &target.config_file {
        put("-F", file);
    }
    let named = facts.local.keys.iter().filter(|k| k.origin == "-i").map(|k| k.path.as_str());
    let keys: Vec<&str> = named.chain(target.keys.iter().map(String::as_str)).collect();
    for (at, key) in keys.iter().enumerate() {
        if !keys[..at].contains(key) {
            put("-i", key);
        }
    }
    for option in &target.options {
        put("-o", option);
    }
    words
}

/// Whether ssh_config has a block for what was typed: then that name is what ssh wants.
fn is_alias(facts: &Facts) -> bool {
    facts.local.config.value().is_some_and(|c| c.matched)
}

fn port(facts: &Facts) -> Vec<String> {
    let from_config = is_alias(facts) && facts.target.port.is_none();
    if facts.port() == SSH_PORT || from_config { Vec::new() } else { vec!["-p".to_owned(), facts.port().to_string()] }
}

fn ssh(facts: &Facts) -> String {
    let mut words = options(facts);
    words.extend(port(facts));
    if let Some(jump) = &facts.target.jump {
        words.extend(["-J".to_owned(), shell_quote(jump)]);
    }
    let behind = matches!(way(facts), Way::Hops(_)).then(|| inner(facts)).flatten().map(|(host, _)| host);
    let host = if is_alias(facts) {
        facts.target.name.clone()
    } else {
        behind.or_else(|| facts.address().map(|a| a.to_string())).unwrap_or_else(|| facts.target.name.clone())
    };
    words.push(shell_quote(&format!("{}@{host}", user(facts))));
    words.join(" ")
}

/// ssh through `port22 proxy`, which asks for no program but this one.
fn through(facts: &Facts, instance: &Instance, door: &str) -> String {
    let mut words = options(facts);
    words.extend(port(facts));
    // ssh reads %, and its shell the rest.
    let place = place(facts, instance).join(" ").replace('%', "%%");
    words.extend(["-o".to_owned(), shell_quote(&format!("ProxyCommand=port22 proxy %h %p{door} {place}"))]);
    words.push(shell_quote(&format!("{}@{}", user(facts), instance.id)));
    words.join(" ")
}

/// Pushes a key and logs in within its minute, with the first key that the service takes, or one that is made.
fn serial(facts: &Facts, instance: &Instance) -> String {
    let own = facts.local.keys.iter().find(|k| k.origin == "-i" && can_be_pushed(k)).map(|k| k.path.as_str());
    let key = shell_quote(own.unwrap_or(MADE));
    let make = if own.is_some() { String::new() } else { format!("ssh-keygen -q -t ed25519 -N '' -f {MADE} && ") };
    let mut push = vec![
        "aws ec2-instance-connect send-serial-console-ssh-public-key".to_owned(),
        format!("--instance-id {} --serial-port 0", shell_quote(&instance.id)),
        format!("--ssh-public-key \"$(ssh-keygen -y -f {key})\""),
    ];
    push.extend(place(facts, instance));
    let host = serial_console::place(&instance.region).host;
    let user = serial_console::user(&instance.id);
    format!("{make}{} && ssh -o IdentitiesOnly=yes -i {key} {}", push.join(" "), shell_quote(&format!("{user}@{host}")))
}

/// Whether the service takes the key (RSA or Ed25519), and nobody is asked for a passphrase.
fn can_be_pushed(probe: &KeyProbe) -> bool {
    match probe.file.value() {
        Some(KeyFileState::Read { key, .. }) => {
            let kind = key.algorithm.as_deref().unwrap_or_default();
            !key.encrypted && key.is_usable_key() && (kind.contains("ed25519") || kind.contains("rsa"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;
    use crate::core::facts::doors::ConnectEndpoint;
    use crate::core::facts::local::SshConfig;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        facts.target.name = "web 1".to_owned();
        facts.target.user = Some("ubuntu".to_owned());
        facts.target.keys = vec!["my key.pem".to_owned()];
        let instance = Instance {
            id: "i-0a1b2c3d4e5f60718".to_owned(),
            name: Some("web 1".to_owned()),
            region: "eu-west-1".to_owned(),
            state: "running".to_owned(),
            public_ip: Some("203.0.113.7".parse().unwrap()),
            private_ip: Some("10.0.0.7".parse().unwrap()),
            ..Instance::default()
        };
        facts.aws.instance = Fact::known(instance, "DescribeInstances");
        facts
    }

    fn first(door: &str, facts: &Facts) -> String {
        line(door, facts).unwrap_or_else(|| panic!("no line for {door}"))
    }

    #[test]
    fn each_door_has_its_line() {
        let mut facts = facts();
        assert_eq!(first("ssh", &facts), "ssh -i 'my key.pem' ubuntu@203.0.113.7");
        assert_eq!(first("ssm", &facts), "aws ssm start-session --target i-0a1b2c3d4e5f60718 --region eu-west-1");
        facts.target.profile = Some("it's prod".to_owned());
        assert_eq!(
            first("eic", &facts),
            "aws ec2-instance-connect ssh --instance-id i-0a1b2c3d4e5f60718 --os-user ubuntu --connection-type direct --region eu-west-1 --profile 'it'\\''s prod'"
        );
        let endpoint = ConnectEndpoint {
            id: "eice-1".to_owned(),
            state: "create-complete".to_owned(),
            ..ConnectEndpoint::default()
        };
        facts.doors.connect_endpoints = Fact::known(vec![endpoint], "DescribeInstanceConnectEndpoints");
        facts.target.profile = None;
        assert_eq!(
            first("eice", &facts),
            "aws ec2-instance-connect ssh --instance-id i-0a1b2c3d4e5f60718 --os-user ubuntu --connection-type eice --eice-options endpointId=eice-1 --region eu-west-1"
        );
        assert_eq!(
            first("serial", &facts),
            "ssh-keygen -q -t ed25519 -N '' -f ./port22-serial && aws ec2-instance-connect send-serial-console-ssh-public-key --instance-id i-0a1b2c3d4e5f60718 --serial-port 0 --ssh-public-key \"$(ssh-keygen -y -f ./port22-serial)\" --region eu-west-1 && ssh -o IdentitiesOnly=yes -i ./port22-serial i-0a1b2c3d4e5f60718.port0@serial-console.ec2-instance-connect.eu-west-1.aws"
        );
        assert_eq!(first("rescue", &facts), "port22 fix root-volume-rescue 'ubuntu@web 1' -i 'my key.pem'");
        assert!(lines("eic", &Facts::default()).is_empty(), "no instance, no line");
    }

    #[test]
    fn options_and_ways_of_ssh_are_kept() {
        let mut facts = facts();
        facts.target.port = Some(2222);
        facts.target.jump = Some("me@gate:22".to_owned());
        facts.target.options = vec!["StrictHostKeyChecking=accept-new".to_owned()];
        assert_eq!(
            first("ssh", &facts),
            "ssh -i 'my key.pem' -o StrictHostKeyChecking=accept-new -p 2222 -J me@gate:22 ubuntu@10.0.0.7"
        );
        facts.target.jump = None;
        facts.target.name = "web".to_owned();
        facts.target.port = None;
        let config = SshConfig { matched: true, port: Some(2222), ..SshConfig::default() };
        facts.local.config = Fact::known(config, "ssh -G");
        assert_eq!(
            first("ssh", &facts),
            "ssh -i 'my key.pem' -o StrictHostKeyChecking=accept-new ubuntu@web",
            "the block has the port"
        );
    }

    #[test]
    fn a_proxy_command_is_quoted_for_both_of_its_readers() {
        let mut facts = facts();
        facts.target.keys.clear();
        facts.target.profile = Some("100% prod".to_owned());
        let lines = lines("ssm", &facts);
        assert_eq!(
            lines[1].command,
            "ssh -o 'ProxyCommand=port22 proxy %h %p --region eu-west-1 --profile '\\''100%% prod'\\''' ubuntu@i-0a1b2c3d4e5f60718"
        );
    }
}
