//! `eip-associate`: a fixed public IPv4 address, a free one of the account or a new one.
//!
//! Never takes an address away from what uses it.

use super::parts::{instance, login_by_id, look, nothing, plan_for, refuse};
use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, Interface, InterfaceAddress};
use crate::core::facts::prepared::net::ElasticAddress;
use crate::core::plan::{Choice, Choices, Gate, GateState, NetworkAction, Plan, Risk, Step};
use crate::core::vpc::{IgwDecision, evaluate, flow_of};
use std::net::IpAddr;

/// Option that allocates a new address.
const NEW: &str = "new";
/// Price of a public IPv4 address, in use or not (VPC pricing page, since February 2024).
const COST: &str = "a public IPv4 address costs 0.005 USD an hour (about 3.60 a month), in use or not";

/// Plans to give the interface an Elastic IP address. Fails with one sentence when the interface or the addresses of
/// the account are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let path = evaluate(facts, &flow_of(facts));
    let owner = path.owner.as_ref().ok_or("the interface of the instance is not known")?;
    let place = Place::of(&owner.interface).ok_or("the interface shows no private address to lead to")?;
    let mut plan = Plan {
        risk: Risk::Medium,
        verify: vec!["public-address".to_owned()],
        permissions: [
            "ec2:AllocateAddress",
            "ec2:CreateTags",
            "ec2:AssociateAddress",
            "ec2:DisassociateAddress",
            "ec2:ReleaseAddress",
            "ec2:DescribeAddresses",
            "ec2:DescribeNetworkInterfaces",
        ]
        .map(str::to_owned)
        .into(),
        ..plan_for("eip-associate", facts, instance)
    };
    if let Some(refused) = impossible(facts, instance, &owner.interface, &path.igw) {
        return Ok(refuse(plan, refused.0, "no address is associated", refused.1));
    }
    let addresses = &facts.prepared.net.addresses;
    let all = match addresses {
        Fact::Known { value, .. } => value.as_slice(),
        other => {
            let why = other.why_not().map_or_else(|| "they were not read".to_owned(), |w| w.text());
            return Err(format!("the Elastic IP addresses of the account are not known: {why}"));
        }
    };
    let here = |a: &&ElasticAddress| {
        a.interface.as_deref() == Some(place.interface.as_str()) && a.private == Some(place.private)
    };
    if let Some(own) = all.iter().find(here) {
        return Ok(nothing(plan, format!("the interface has the Elastic IP address {}", own.address)));
    }
    let free: Vec<(String, String)> = all
        .iter()
        .filter(|a| !a.in_use && a.managed_by.is_none() && fits(a, &instance.region))
        .map(|a| (a.allocation.clone(), words(a)))
        .collect();
    let mut options: Vec<(&str, &str)> = free.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    options.push((NEW, "allocate a new one (the default quota is 5 a Region)"));
    let choice = Choice::new("address", "Which address?", &options, choices);
    COST.clone_into(&mut plan.cost);
    if choice.chosen == NEW {
        plan.gates.push(Gate::new("cost", GateState::Warn, COST));
    } else {
        let chosen = free.iter().find(|(id, _)| *id == choice.chosen).map_or("", |(_, text)| text);
        let why = format!("{chosen}: somebody may keep it for something else; allow-lists and DNS may know it");
        plan.gates.push(Gate::new("taken-from", GateState::Warn, why));
    }
    if let Some(old) = place.public {
        plan.downtime = true;
        plan.gates.push(Gate::new(
            "released",
            GateState::Warn,
            format!("the automatic public address {old} is given up at once, with open connections to it; DNS names, Route 53 records, allow-lists and known_hosts entries that hold it go stale, and it does not come back"),
        ));
    }
    plan.title = match all.iter().find(|a| a.allocation == choice.chosen) {
        Some(a) => format!("give {} the free Elastic IP address {}", instance.label(), a.address),
        None => format!("give {} a new Elastic IP address", instance.label()),
    };
    plan.login = Some(login_by_id(facts, instance));
    plan.steps = steps(instance, &place, &choice.chosen);
    plan.choices = vec![choice];
    plan.steps.push(look("dial the new address", instance));
    Ok(plan)
}

/// Where the address is to lead.
struct Place {
    interface: String,
    private: IpAddr,
    public: Option<IpAddr>,
}

impl Place {
    /// The primary private IPv4 address of an interface.
    fn of(interface: &Interface) -> Option<Self> {
        let v4: Vec<&InterfaceAddress> = interface.addresses.iter().filter(|a| a.private.is_ipv4()).collect();
        let found = v4.iter().find(|a| a.primary).or(v4.first())?;
        (!interface.id.is_empty()).then(|| Self {
            interface: interface.id.clone(),
            private: found.private,
            public: found.public,
        })
    }
}

/// Gate and reason for which no address can be associated.
fn impossible(
    facts: &Facts,
    instance: &Instance,
    interface: &Interface,
    igw: &IgwDecision,
) -> Option<(&'static str, String)> {
    if matches!(instance.state.as_str(), "terminated" | "shutting-down") {
        return Some(("state", format!("the instance is {}", instance.state)));
    }
    if interface.managed {
        return Some((
            "managed",
            format!("{} belongs to a service, which does not let others change it", interface.id),
        ));
    }
    if let Some(service) = &instance.managed_by {
        return Some(("managed", format!("{service} manages the instance, and AWS refuses changes by others")));
    }
    let zone = facts.aws.subnet.value().and_then(|s| s.zone.as_deref()).unwrap_or_default();
    let letter = zone.strip_prefix(&instance.region).unwrap_or("a");
    if letter.len() > 1 {
        let why = format!(
            "the instance is in the zone {zone} outside the Region's own: its address must come from that zone's network border group (aws ec2 allocate-address --network-border-group …)"
        );
        return Some(("zone", why));
    }
    // A private path is judged without a gateway; an Elastic IP address needs one all the same.
    let vpc = interface.vpc_id.as_ref().or(instance.vpc_id.as_ref())?;
    let attached = facts.aws.internet_gateways.value()?.iter().any(|g| g.attached_to.as_ref() == Some(vpc));
    let missing = matches!(igw, IgwDecision::NotAttached { .. }) || !attached;
    missing.then(|| {
        (
            "gateway",
            format!("{vpc} has no internet gateway attached, and AWS refuses an address there: apply igw-attach first"),
        )
    })
}

/// Whether an address may be used in the Region's own zones.
fn fits(address: &ElasticAddress, region: &str) -> bool {
    address.border_group.as_deref().is_none_or(|group| group == region)
}

fn words(address: &ElasticAddress) -> String {
    match &address.name {
        Some(name) => format!("{} is free, named \"{name}\"", address.address),
        None => format!("{} is free", address.address),
    }
}

fn steps(instance: &Instance, place: &Place, chosen: &str) -> Vec<Step> {
    let region = instance.region.clone();
    let mut out = Vec::new();
    let allocation = if chosen == NEW {
        out.push(Step::deed(
            "allocate an Elastic IP address",
            format!("aws ec2 allocate-address --region {region} --domain vpc --query AllocationId"),
            Some(format!("aws ec2 release-address --region {region} --allocation-id ${{allocation}}")),
            NetworkAction::AllocateAddress { region: region.clone() },
        ));
        "${allocation}"
    } else {
        chosen
    };
    let Place { interface, private, .. } = place;
    out.push(Step::deed(
        format!("associate it with {private} of {interface}"),
        format!(
            "aws ec2 associate-address --region {region} --allocation-id {allocation} --network-interface-id {interface} --private-ip-address {private} --no-allow-reassociation"
        ),
        Some(format!(
            "aws ec2 disassociate-address --region {region} --association-id \"$(aws ec2 describe-addresses --region {region} --allocation-ids {allocation} --query 'Addresses[0].AssociationId' --output text)\""
        )),
        NetworkAction::AssociateAddress {
            region,
            allocation: allocation.to_owned(),
            interface: interface.clone(),
            private: *private,
        },
    ));
    out
}
