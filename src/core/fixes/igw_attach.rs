//! `igw-attach`: gives the VPC an internet gateway, one that is free or a new one.

use super::parts::{instance, look, nothing, plan_for};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Choice, Choices, Gate, GateState, NetworkAction, Plan, Risk, Step};
use crate::core::vpc::{IgwDecision, evaluate, flow_of};

/// Option that makes a new gateway.
const NEW: &str = "new";

/// Plans to attach an internet gateway. Fails with one sentence when the VPC or the gateways are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let path = evaluate(facts, &flow_of(facts));
    let mut plan = Plan {
        risk: Risk::Medium,
        verify: vec!["igw-attached".to_owned()],
        permissions: [
            "ec2:CreateInternetGateway",
            "ec2:CreateTags",
            "ec2:AttachInternetGateway",
            "ec2:DetachInternetGateway",
            "ec2:DeleteInternetGateway",
            "ec2:DescribeInternetGateways",
        ]
        .map(str::to_owned)
        .into(),
        ..plan_for("igw-attach", facts, instance)
    };
    let (vpc, wanted) = match &path.igw {
        IgwDecision::Attached { id } => return Ok(nothing(plan, format!("{id} is attached to the VPC"))),
        IgwDecision::NotNeeded => return Ok(nothing(plan, "the path is private: no internet gateway is on it")),
        IgwDecision::Unknown { why } => return Err(format!("the internet gateways are not known: {}", why.text())),
        IgwDecision::NotAttached { vpc, .. } => (vpc.clone(), routed(facts)),
    };
    // The route names one that is not attached here, and another one is: AWS attaches one to a VPC at most.
    let attached = facts.aws.internet_gateways.value().into_iter().flatten();
    if let Some(other) = { attached }.find(|g| g.attached_to.as_deref() == Some(&vpc)) {
        plan.title = format!("{} is attached already", other.id);
        let why = format!("{} is attached to {vpc}, and the route names another gateway: apply route-to-igw", other.id);
        plan.gates.push(Gate::new("gateway", GateState::Refuse, why));
        return Ok(plan);
    }
    let known = &facts.prepared.net.gateways;
    let free: Vec<(String, String)> = if let Some(all) = known.value() {
        let mut free: Vec<_> = all.iter().filter(|(g, _)| g.attached_to.is_none()).collect();
        // The one that the routes name already comes first.
        free.sort_by_key(|(g, _)| Some(&g.id) != wanted.as_ref());
        free.into_iter().map(|(g, name)| (g.id.clone(), words(&g.id, name.as_deref(), wanted.as_deref()))).collect()
    } else {
        let why = known.why_not().map_or_else(String::new, |w| format!(" ({})", w.text()));
        plan.gates.push(Gate::new(
            "free-gateways",
            GateState::Warn,
            format!("cannot tell which gateways are free{why}"),
        ));
        Vec::new()
    };
    let mut options: Vec<(&str, &str)> = free.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    options.push((NEW, "make a new one (costs nothing; the default quota is 5 a Region)"));
    let choice = Choice::new("gateway", "Which internet gateway?", &options, choices);
    plan.gates.push(Gate::new(
        "opens",
        GateState::Warn,
        format!("{vpc} becomes internet-capable; routes, addresses, ACLs and groups still decide who gets in"),
    ));
    if let Some(wanted) = wanted.filter(|w| *w != choice.chosen) {
        let why = format!("the route still names {wanted}: apply route-to-igw afterwards");
        plan.gates.push(Gate::new("route", GateState::Warn, why));
        plan.verify.clear();
    }
    if let Some(why) = undo_is_refused(facts, instance, &vpc) {
        plan.gates.push(Gate::new("undo", GateState::Warn, why));
        plan.reversible = false;
    }
    plan.title =
        format!("attach {} to {vpc}", if choice.chosen == NEW { "a new internet gateway" } else { &choice.chosen });
    plan.steps = steps(instance, &vpc, &choice.chosen);
    plan.choices = vec![choice];
    plan.steps.push(look("run the failed checks again", instance));
    Ok(plan)
}

/// Why AWS would refuse to detach the gateway again, if so: public addresses are mapped in the VPC (EC2 API reference,
/// `DetachInternetGateway`).
fn undo_is_refused(facts: &Facts, instance: &Instance, vpc: &str) -> Option<String> {
    let rule = "AWS detaches no gateway while public addresses are mapped in its VPC";
    let way = "an undo is refused until instances with automatic ones are stopped and Elastic ones are disassociated";
    match facts.prepared.net.mapped.value() {
        Some(all) if !all.is_empty() => {
            let more = if all.len() > 3 { format!(" and {} more", all.len() - 3) } else { String::new() };
            let names = all.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            Some(format!("{rule} ({vpc}: {names}{more}): {way}"))
        }
        Some(_) => None,
        None if instance.public_ip.is_some() => Some(format!("{rule}, and {} has one: {way}", instance.id)),
        None => Some(format!("{rule}, and it is not known whether {vpc} has some: {way}")),
    }
}

/// The internet gateway that a route of the VPC names, attached or not.
fn routed(facts: &Facts) -> Option<String> {
    use crate::core::vpc::types::{RouteDestination, RouteTarget};
    let path = evaluate(facts, &flow_of(facts));
    let subnet = path.owner.as_ref()?.interface.subnet_id.clone()?;
    let vpc = facts.instance().and_then(|i| i.vpc_id.as_deref());
    let (table, _) = crate::core::vpc::route::table_of(facts.aws.route_tables.value()?, &subnet, vpc).ok()?;
    table.routes.iter().find_map(|r| match (&r.destination, &r.target) {
        (RouteDestination::Cidr(net), RouteTarget::InternetGateway(id)) if net.prefix_len() == 0 => Some(id.clone()),
        _ => None,
    })
}

fn words(id: &str, name: Option<&str>, wanted: Option<&str>) -> String {
    let name = name.map_or_else(|| "free, without a name".to_owned(), |n| format!("free, named \"{n}\""));
    if wanted == Some(id) { format!("{name}; the route names it") } else { name }
}

fn steps(instance: &Instance, vpc: &str, chosen: &str) -> Vec<Step> {
    let region = instance.region.clone();
    let mut out = Vec::new();
    let gateway = if chosen == NEW {
        out.push(Step::deed(
            "make an internet gateway",
            format!("aws ec2 create-internet-gateway --region {region} --query InternetGateway.InternetGatewayId"),
            Some(format!("aws ec2 delete-internet-gateway --region {region} --internet-gateway-id ${{gateway}}")),
            NetworkAction::CreateGateway { region: region.clone() },
        ));
        "${gateway}"
    } else {
        chosen
    };
    let place = format!("--region {region} --internet-gateway-id {gateway} --vpc-id {vpc}");
    out.push(Step::deed(
        format!("attach {} to {vpc}", if chosen == NEW { "it" } else { chosen }),
        format!("aws ec2 attach-internet-gateway {place}"),
        Some(format!("aws ec2 detach-internet-gateway {place}")),
        NetworkAction::AttachGateway { region, gateway: gateway.to_owned(), vpc: vpc.to_owned() },
    ));
    out
}
