//! The EC2 Instance Connect Endpoint: whether the VPC has one, whether it is ready, whether groups let it pass.
//!
//! It carries plain SSH to the private address: a key is still needed, and a server that answers.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::diagnosis::DoorState;
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::doors::ConnectEndpoint;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::target::{RDP_PORT, SSH_PORT};
use crate::core::vpc::owner::owner_of;
use crate::core::vpc::toward::{Gate, Peer, Side, groups};
use ipnet::IpNet;

/// States in which a tunnel can be opened, as the AWS CLI takes them (customizations/ec2instanceconnect).
const USABLE: [&str; 4] = ["create-complete", "update-in-progress", "update-complete", "update-failed"];

/// What is known of the endpoints.
enum Tunnel {
    /// This one leads to the port.
    Open(String),
    /// There is none.
    Missing,
    /// There are some, and none can be used: state and message.
    NotReady(String),
    /// Groups stop every one that can be used.
    Blocked(String),
    /// The facts do not tell.
    Unknown(String),
}

fn tunnel(facts: &Facts) -> Tunnel {
    if facts.instance().is_none() {
        return Tunnel::Unknown("needs the instance".to_owned());
    }
    let Some(all) = facts.doors.connect_endpoints.value() else {
        let why = facts.doors.connect_endpoints.why_not().unwrap_or(Why::needs("the endpoints"));
        return Tunnel::Unknown(why.text());
    };
    let all: Vec<&ConnectEndpoint> = all.iter().filter(|e| !e.state.starts_with("delete-")).collect();
    if all.is_empty() {
        return Tunnel::Missing;
    }
    let usable: Vec<&&ConnectEndpoint> = all.iter().filter(|e| USABLE.contains(&e.state.as_str())).collect();
    if usable.is_empty() {
        let said = all.iter().map(|e| {
            let message = e.message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default();
            format!("{} is {}{message}", e.id, e.state)
        });
        return Tunnel::NotReady(said.collect::<Vec<_>>().join("; "));
    }
    let judged: Vec<(Gate, String)> = usable.iter().map(|e| passes(facts, e)).collect();
    let said =
        |gate: Gate| judged.iter().filter(|(g, _)| *g == gate).map(|(_, t)| t.clone()).collect::<Vec<_>>().join("; ");
    if judged.iter().any(|(gate, _)| *gate == Gate::Open) {
        Tunnel::Open(said(Gate::Open))
    } else if judged.iter().any(|(gate, _)| *gate == Gate::Unknown) {
        Tunnel::Unknown(said(Gate::Unknown))
    } else {
        Tunnel::Blocked(said(Gate::Closed))
    }
}

/// The endpoint to open a tunnel at, as the AWS CLI chooses: one in the instance's own subnet before the others. The error
/// says why there is none, and what to do next.
pub fn choose(facts: &Facts) -> Result<&ConnectEndpoint, (String, String)> {
    let missing = |why: String| (why, "port22 diagnose tells more".to_owned());
    let instance = facts.instance().ok_or_else(|| missing("the instance is not known".to_owned()))?;
    let all = facts.doors.connect_endpoints.value().ok_or_else(|| {
        missing(facts.doors.connect_endpoints.why_not().unwrap_or(Why::needs("the endpoints of the VPC")).text())
    })?;
    let usable = || all.iter().filter(|e| USABLE.contains(&e.state.as_str()));
    let near = usable().find(|e| e.subnet.is_some() && e.subnet == instance.subnet_id);
    near.or_else(|| usable().next()).ok_or_else(|| match tunnel(facts) {
        Tunnel::NotReady(text) => (format!("{text} (eice-not-ready)"), "wait until it is ready".to_owned()),
        _ => (
            "the VPC has no EC2 Instance Connect Endpoint (eice-missing)".to_owned(),
            "make one (aws ec2 create-instance-connect-endpoint --subnet-id …), or take another way in".to_owned(),
        ),
    })
}

/// The endpoint of this id, which somebody named: another one is never taken for it.
pub fn named<'a>(facts: &'a Facts, id: &str) -> Result<&'a ConnectEndpoint, (String, String)> {
    let Some(all) = facts.doors.connect_endpoints.value() else { return choose(facts) };
    match all.iter().find(|endpoint| endpoint.id == id) {
        Some(endpoint) if USABLE.contains(&endpoint.state.as_str()) => Ok(endpoint),
        Some(endpoint) => {
            Err((format!("{id} is {} (eice-not-ready)", endpoint.state), "wait until it is ready".to_owned()))
        }
        None => Err((
            format!("the VPC has no EC2 Instance Connect Endpoint {id}"),
            "name one of the instance's VPC (aws ec2 describe-instance-connect-endpoints)".to_owned(),
        )),
    }
}

/// Port 22 or 3389, the only ones that a tunnel leads to (EC2 User Guide, "EC2 Instance Connect Endpoint").
fn port(facts: &Facts) -> u16 {
    if facts.port() == RDP_PORT { RDP_PORT } else { SSH_PORT }
}

/// Whether the groups of both ends let an endpoint's connection pass.
fn passes(facts: &Facts, endpoint: &ConnectEndpoint) -> (Gate, String) {
    let port = port(facts);
    let unknown = |what: &str| (Gate::Unknown, format!("{}: {what}", endpoint.id));
    let Ok(owner) = owner_of(facts, None) else { return unknown("needs the instance's interfaces") };
    let card = owner.interface;
    let mut all = facts.doors.endpoint_groups.value().cloned().unwrap_or_default();
    all.extend(facts.aws.groups.value().cloned().unwrap_or_default());
    let lists = &facts.aws.prefix_lists;
    let address = card.addresses.iter().find(|a| a.primary).or(card.addresses.first()).map(|a| IpNet::from(a.private));
    let there = Peer::Interface { at: address, groups: &card.groups };
    let out = groups(&all, &endpoint.groups, Side::Outbound, there, port, lists);
    if out == Gate::Closed {
        let text = format!(
            "{}: its group {} does not let {port} out to the instance",
            endpoint.id,
            endpoint.groups.join(", ")
        );
        return (Gate::Closed, text);
    }
    let into = if endpoint.preserve_client_ip {
        match facts.source_ip() {
            Some(client) => groups(&all, &card.groups, Side::Inbound, Peer::Address(client), port, lists),
            None => Gate::Unknown,
        }
    } else {
        from_endpoint(facts, endpoint, &card.groups, &all, port)
    };
    let seen_as = if endpoint.preserve_client_ip { "your address, which it preserves" } else { "the endpoint" };
    match out.and(into) {
        Gate::Closed => {
            let text = format!(
                "{}: the instance's group {} does not let {port} in from {seen_as}",
                endpoint.id,
                card.groups.join(", ")
            );
            (Gate::Closed, text)
        }
        Gate::Open => (Gate::Open, format!("{} leads to port {port} of the instance", endpoint.id)),
        Gate::Unknown => unknown("whether the security groups let it pass is not known"),
    }
}

/// The instance's groups, asked about each address of the endpoint; its subnet's range stands in for unknown ones.
fn from_endpoint(
    facts: &Facts,
    endpoint: &ConnectEndpoint,
    ids: &[String],
    all: &[crate::core::vpc::types::SecurityGroup],
    port: u16,
) -> Gate {
    let subnet = facts.aws.subnet.value().filter(|s| Some(&s.id) == endpoint.subnet.as_ref()).and_then(|s| s.cidr);
    let ask = |at: Option<IpNet>| {
        let peer = Peer::Interface { at, groups: &endpoint.groups };
        groups(all, ids, Side::Inbound, peer, port, &facts.aws.prefix_lists)
    };
    match endpoint.addresses.as_slice() {
        [] => ask(subnet),
        known => {
            let gates: Vec<Gate> = known.iter().map(|a| ask(Some(*a))).collect();
            if gates.iter().all(|g| *g == gates[0]) { gates[0] } else { Gate::Unknown }
        }
    }
}

/// Check `instance-connect-endpoint`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "instance-connect-endpoint";
    let source = "DescribeInstanceConnectEndpoints";
    match tunnel(view.facts) {
        Tunnel::Open(text) => CheckResult::pass(id, text.clone()).seen(text, source),
        Tunnel::Missing => {
            CheckResult::fail(id, "the VPC has no EC2 Instance Connect Endpoint").seen("an empty list", source)
        }
        Tunnel::NotReady(text) | Tunnel::Blocked(text) => CheckResult::fail(id, text.clone()).seen(text, source),
        Tunnel::Unknown(text) => CheckResult::unclear(id, format!("cannot tell: {text}")),
    }
}

/// Causes of a tunnel that cannot be opened.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let source = view.facts.doors.connect_endpoints.source();
    if !view.running() {
        return Vec::new();
    }
    let (id, text) = match tunnel(view.facts) {
        Tunnel::Missing => ("eice-missing", "the VPC has no EC2 Instance Connect Endpoint".to_owned()),
        Tunnel::NotReady(text) => ("eice-not-ready", text),
        Tunnel::Blocked(text) => ("eice-sg-blocks", text),
        Tunnel::Open(_) | Tunnel::Unknown(_) => return Vec::new(),
    };
    vec![Finding::new(id, Certainty::Proven, text, source)]
}

/// State of the door and why.
pub(super) fn door(view: &View<'_>) -> (DoorState, String) {
    let facts = view.facts;
    if facts.instance().is_some() && !view.running() {
        return (DoorState::Closed, "the instance is not running".to_owned());
    }
    if ![SSH_PORT, RDP_PORT].contains(&facts.port()) {
        let text = format!("a tunnel leads to ports 22 and 3389 only, and the login goes to {}", facts.port());
        return (DoorState::Closed, text);
    }
    match tunnel(facts) {
        Tunnel::Missing => (DoorState::Closed, "the VPC has no endpoint (eice-missing)".to_owned()),
        Tunnel::NotReady(text) => (DoorState::Closed, format!("{text} (eice-not-ready)")),
        Tunnel::Blocked(text) => (DoorState::Closed, format!("{text} (eice-sg-blocks)")),
        Tunnel::Unknown(text) => (DoorState::Unknown, text),
        Tunnel::Open(text) => match (facts.wire.tcp.value(), facts.wire.ssh.value()) {
            (Some(Tcp::Refused { .. }), _) if facts.dialled_own_address() => {
                (DoorState::Closed, format!("{text}, and nothing listens there"))
            }
            (_, Some(server)) if !matches!(server, SshServer::Ready { .. }) => {
                (DoorState::Closed, format!("{text}, and no SSH server answers there"))
            }
            _ => (DoorState::Open, format!("{text}; a key, or a pushed one, is still needed")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;

    #[test]
    fn an_endpoint_that_is_named_is_taken_or_refused_by_name() {
        let made = |id: &str, state: &str| ConnectEndpoint {
            id: id.to_owned(),
            state: state.to_owned(),
            ..ConnectEndpoint::default()
        };
        let mut facts = Facts::default();
        let all =
            vec![made("eice-1", "create-complete"), made("eice-2", "update-complete"), made("eice-3", "create-failed")];
        facts.doors.connect_endpoints = Fact::known(all, "DescribeInstanceConnectEndpoints");
        assert_eq!(named(&facts, "eice-2").map(|e| e.id.as_str()), Ok("eice-2"));
        for (id, words) in
            [("eice-3", "eice-3 is create-failed"), ("eice-4", "no EC2 Instance Connect Endpoint eice-4")]
        {
            let (why, _) = named(&facts, id).map(|e| e.id.clone()).expect_err("another one is not taken");
            assert!(why.contains(words), "{why}");
        }
    }
}
