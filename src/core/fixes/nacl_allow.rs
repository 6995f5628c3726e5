//! `nacl-allow-my-ip`: entries above the ones that deny, for the client's one address.

use super::parts::{instance, look, nothing, plan_for, refuse, some, way};
use super::sg_allow::address_gate;
use crate::core::facts::Facts;
use crate::core::plan::{AclPass, Choices, Gate, GateState, NetworkAction, Plan, Risk, Step};
use crate::core::vpc::AclDecision;
use crate::core::vpc::flow::EPHEMERAL_FIRST;
use crate::core::vpc::types::NetworkAcl;
use ipnet::IpNet;
use std::net::IpAddr;

/// Number of the closing deny that the API shows; own entries end before it (EC2 API reference, CreateNetworkAclEntry).
const CLOSING: i32 = 32767;
/// Default quota of entries in one direction (VPC User Guide, "Amazon VPC quotas").
const QUOTA: usize = 20;
/// Entries are set at multiples of this where one is free, so that others fit between.
const STRIDE: i32 = 10;

/// Plans an inbound entry for the port and, where answers are blocked, an outbound one for the client's ports.
/// Fails with one sentence when address, subnet or ACL are not known.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let (path, source) = way(facts)?;
    let net = IpNet::from(source);
    let port = facts.port();
    let mut plan = Plan {
        risk: Risk::Medium,
        verify: vec!["nacl-inbound".to_owned(), "nacl-outbound".to_owned()],
        permissions: ["ec2:CreateNetworkAclEntry", "ec2:DeleteNetworkAclEntry", "ec2:DescribeNetworkAcls"]
            .map(str::to_owned)
            .into(),
        ..plan_for("nacl-allow-my-ip", facts, instance)
    };
    for decision in [&path.nacl_in, &path.nacl_out] {
        if let AclDecision::Unknown { why } = decision {
            return Err(format!("what the network ACL does is not known: {}", why.text()));
        }
    }
    let blocks = |d: &AclDecision| matches!(d, AclDecision::Denied { .. } | AclDecision::Partial { .. });
    let (inward, outward) = (blocks(&path.nacl_in), blocks(&path.nacl_out));
    if !inward && !outward {
        return Ok(nothing(plan, format!("the network ACL lets {net} reach port {port} and its answers out")));
    }
    let subnet = path.owner.as_ref().and_then(|o| o.interface.subnet_id.clone()).unwrap_or_default();
    let acls = facts.aws.acls.value().ok_or("the network ACLs were not read")?;
    let acl = acls
        .iter()
        .find(|a| a.subnets.contains(&subnet))
        .ok_or_else(|| format!("the network ACL of {subnet} is not known"))?;
    plan.gates.push(address_gate(source));
    let region = instance.region.as_str();
    let mut wanted = Vec::new();
    if inward {
        wanted.push((false, port, port));
    }
    if outward {
        wanted.push((true, EPHEMERAL_FIRST, u16::MAX));
    }
    for (egress, from_port, to_port) in wanted {
        let below = first_deny(acl, egress, source, (from_port, to_port));
        let Some(number) = free_number(acl, egress, below) else {
            let side = if egress { "outbound" } else { "inbound" };
            let why = format!(
                "{} has no free {side} number below {below}, whose entry denies: give that entry a higher number first (aws ec2 create-network-acl-entry, then delete-network-acl-entry)",
                acl.id
            );
            return Ok(refuse(plan, "number", "no place for an entry", why));
        };
        plan.steps.push(step(region, acl, AclPass { number, egress, cidr: net, from_port, to_port }));
    }
    plan.title = format!("let {net} through {} to port {port}", label(acl));
    plan.gates.extend(gates(acl, &subnet));
    plan.steps.push(look("wait until the entries are seen, then run the failed checks again", instance));
    Ok(plan)
}

fn gates(acl: &NetworkAcl, subnet: &str) -> Vec<Gate> {
    let others: Vec<String> = acl.subnets.iter().filter(|s| *s != subnet).cloned().collect();
    let mut out = vec![if others.is_empty() {
        Gate::new("shared", GateState::Warn, format!("{} serves the whole subnet {subnet}", acl.id))
    } else {
        Gate::new("shared", GateState::Warn, format!("{} serves {subnet} and also {}", acl.id, some(&others)))
    }];
    for (egress, side) in [(false, "inbound"), (true, "outbound")] {
        let own = acl.entries.iter().filter(|e| e.egress == egress && e.number < CLOSING).count();
        if own >= QUOTA {
            let why = format!("{} already has {own} {side} entries; the default quota is {QUOTA}", acl.id);
            out.push(Gate::new("quota", GateState::Warn, why));
        }
    }
    out
}

fn label(acl: &NetworkAcl) -> String {
    acl.name.as_ref().map_or_else(|| acl.id.clone(), |name| format!("{name} ({})", acl.id))
}

/// Number of the first entry that denies TCP of these ports to or from an address; the closing one's when none does.
fn first_deny(acl: &NetworkAcl, egress: bool, peer: IpAddr, ports: (u16, u16)) -> i32 {
    let denies = acl.entries.iter().filter(|e| {
        let tcp = matches!(e.protocol.trim().to_ascii_lowercase().as_str(), "6" | "tcp" | "-1" | "all");
        let everything = matches!(e.protocol.trim(), "-1" | "all");
        let meets = everything || e.ports.is_none_or(|(low, high)| low <= ports.1 && ports.0 <= high);
        e.egress == egress && !e.allow && e.number < CLOSING && tcp && meets && e.cidr.contains(&peer)
    });
    denies.map(|e| e.number).min().unwrap_or(CLOSING)
}

/// A free number below that of the entry that denies.
fn free_number(acl: &NetworkAcl, egress: bool, below: i32) -> Option<i32> {
    let used: Vec<i32> = acl.entries.iter().filter(|e| e.egress == egress).map(|e| e.number).collect();
    let top = if below >= CLOSING {
        // Behind the own entries, not at the far end: none of them denies.
        let last = used.iter().copied().filter(|n| *n < CLOSING).max().unwrap_or(90);
        ((last / STRIDE + 1) * STRIDE).min(CLOSING - 1)
    } else {
        (below - 1) / STRIDE * STRIDE
    };
    let round = (1..=top / STRIDE).rev().map(|n| n * STRIDE);
    round.chain((1..below).rev()).find(|n| !used.contains(n))
}

fn step(region: &str, acl: &NetworkAcl, entry: AclPass) -> Step {
    let AclPass { number, egress, cidr, from_port, to_port } = entry.clone();
    let (way, preposition) = if egress { ("--egress", "to") } else { ("--ingress", "from") };
    let ports = if from_port == to_port { from_port.to_string() } else { format!("{from_port}-{to_port}") };
    let block = if cidr.addr().is_ipv4() { "--cidr-block" } else { "--ipv6-cidr-block" };
    let place = format!("--region {region} --network-acl-id {} {way} --rule-number {number}", acl.id);
    let what = if egress { "answers" } else { "tcp" };
    Step::deed(
        format!("add entry {number} to {}: allow {what} {ports} {preposition} {cidr}", label(acl)),
        format!(
            "aws ec2 create-network-acl-entry {place} --protocol tcp --port-range From={from_port},To={to_port} {block} {cidr} --rule-action allow"
        ),
        Some(format!("aws ec2 delete-network-acl-entry {place}")),
        NetworkAction::CreateEntry { region: region.to_owned(), acl: acl.id.clone(), entry },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vpc::types::AclEntry;

    fn entry(
        number: i32,
        egress: bool,
        allow: bool,
        protocol: &str,
        cidr: &str,
        ports: Option<(u16, u16)>,
    ) -> AclEntry {
        AclEntry {
            number,
            egress,
            allow,
            protocol: protocol.to_owned(),
            cidr: cidr.parse().unwrap(),
            ports,
            icmp: None,
        }
    }

    fn acl(entries: Vec<AclEntry>) -> NetworkAcl {
        NetworkAcl { id: "acl-1".to_owned(), entries, ..NetworkAcl::default() }
    }

    fn place(acl: &NetworkAcl, egress: bool, ports: (u16, u16)) -> (i32, Option<i32>) {
        let below = first_deny(acl, egress, "203.0.113.10".parse().unwrap(), ports);
        (below, free_number(acl, egress, below))
    }

    #[test]
    fn the_number_is_free_and_before_the_entry_that_denies() {
        let all = "0.0.0.0/0";
        let closing = entry(32767, false, false, "-1", all, None);
        // The number of the entry that denies, and a number before it that is free.
        type Wanted = (i32, Option<i32>);
        let cases: [(Vec<AclEntry>, Wanted); 9] = [
            (vec![closing.clone()], (32767, Some(100))),
            (vec![], (32767, Some(100))),
            (vec![entry(100, false, true, "6", all, Some((443, 443))), closing], (32767, Some(110))),
            (vec![entry(32766, false, true, "6", all, Some((443, 443)))], (32767, Some(32760))),
            (vec![entry(90, false, false, "6", all, Some((22, 22)))], (90, Some(80))),
            (
                vec![entry(80, false, true, "17", all, None), entry(90, false, false, "-1", "203.0.113.0/24", None)],
                (90, Some(70)),
            ),
            (vec![entry(3, false, false, "6", all, None), entry(2, false, true, "17", all, None)], (3, Some(1))),
            (vec![entry(1, false, false, "6", all, Some((20, 30)))], (1, None)),
            (vec![entry(1, true, false, "6", all, None), entry(5, false, false, "6", all, None)], (5, Some(4))),
        ];
        for (entries, wanted) in cases {
            assert_eq!(place(&acl(entries.clone()), false, (22, 22)), wanted, "{entries:?}");
        }
    }

    #[test]
    fn what_denies_others_or_other_ports_is_no_limit() {
        let entries = vec![
            entry(10, true, false, "17", "0.0.0.0/0", None),
            entry(20, true, false, "6", "198.51.100.0/24", None),
            entry(30, true, false, "6", "0.0.0.0/0", Some((1, 1023))),
            entry(50, true, false, "6", "0.0.0.0/0", Some((60000, 65535))),
            entry(60, true, false, "6", "0.0.0.0/0", Some((1024, 2000))),
        ];
        assert_eq!(place(&acl(entries), true, (1024, 65535)), (50, Some(40)));
    }
}
