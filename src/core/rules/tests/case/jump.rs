//! The login to a jump host in a case.

use super::{agent_key, algorithms, config, key_probe, known_hosts, offer, server};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, Interface};
use crate::core::facts::local::JumpLogin;
use crate::core::facts::wire::{Budget, Onward};
use serde::Deserialize;

/// What is left out is a login as `gate` that nobody has made yet.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Login {
    /// In the form of the case's own.
    config: Option<String>,
    keys: Vec<String>,
    agent: Vec<String>,
    known_host: Option<String>,
    ssh: Option<String>,
    offers: Vec<String>,
    server_lists: Option<String>,
    client_lists: Option<String>,
    /// Whether ssh may bring a certificate.
    certificate: bool,
    /// Jump hosts before it.
    before: Vec<String>,
    /// Whether others come after it.
    more: bool,
    /// `PRIVATE GROUP,GROUP [STATE]` of the instance that it is; `denied`.
    instance: Option<String>,
    /// Its interfaces, when there is more than one.
    cards: Option<usize>,
    /// `OUTCOME [WORDS]` of the connection to the target.
    onward: Option<String>,
    /// The target is a name that only the jump host knows.
    by_name: bool,
}

pub(super) fn apply(case: &Login, facts: &mut Facts) {
    let Fact::Known { value: jump, .. } = &mut facts.local.jump else { panic!("jump_login needs jump") };
    jump.before.clone_from(&case.before);
    jump.last = !case.more;
    let mut login = JumpLogin { certificate: case.certificate, ..JumpLogin::default() };
    login.target.user = Some("gate".to_owned());
    login.local.config = config(case.config.as_deref().unwrap_or("user=gate"));
    if let (Some(changes), Fact::Known { value, .. }) = (&case.client_lists, &mut login.local.config) {
        value.algorithms = algorithms(changes).0;
    }
    login.local.keys = case.keys.iter().map(|k| key_probe(k)).collect();
    login.local.agent = Fact::known(case.agent.iter().enumerate().map(agent_key).collect(), "ssh agent");
    login.local.known_hosts = Fact::known(known_hosts(case.known_host.as_deref()), "known_hosts");
    login.wire.ssh = Fact::known(server(case.ssh.as_deref().unwrap_or("ready")), "SSH to the jump host");
    login.wire.offers = case.offers.iter().map(|o| offer(o)).collect();
    login.wire.budget = Budget { used: u32::try_from(login.wire.offers.len()).unwrap(), cap: 5 };
    login.wire.offers_of_server = case.server_lists.as_ref().map(|changes| algorithms(changes).1);
    if jump.outcome == "ssh" {
        jump.login = Some(Box::new(login));
    }
    jump.instance = match case.instance.as_deref() {
        None => Fact::NotAsked,
        Some("denied") => {
            Fact::unknown(Why::Denied { action: "ec2:DescribeInstances".to_owned(), reason: String::new() })
        }
        Some(text) => {
            let words: Vec<&str> = text.split(' ').collect();
            let instance = Instance {
                id: "i-0b0b0b0b0b0b0b0b0".to_owned(),
                name: Some("gate".to_owned()),
                state: words.get(2).unwrap_or(&"running").to_string(),
                private_ip: words[0].parse().ok(),
                vpc_id: Some("vpc-1".to_owned()),
                groups: words[1].split(',').map(|g| (g.to_owned(), g.to_owned())).collect(),
                interfaces: vec![Interface::default(); case.cards.unwrap_or(1)],
                ..Instance::default()
            };
            Fact::known(instance, "DescribeInstances i-0b0b0b0b0b0b0b0b0")
        }
    };
    if let Some(text) = &case.onward {
        let (outcome, words) = text.split_once(' ').unwrap_or((text, ""));
        let host = facts.wire.address.map(|a| a.to_string()).unwrap_or_default();
        facts.wire.onward =
            Some(Onward { host, port: facts.port(), outcome: outcome.to_owned(), words: words.to_owned() });
    }
    if case.by_name {
        facts.wire.address = Some(std::net::Ipv4Addr::UNSPECIFIED.into());
    }
}
