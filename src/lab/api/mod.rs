//! The AWS actions that the practice endpoint knows: dispatch, errors, denials, answers.
//!
//! Used by `http`. EC2, STS, IAM, Auto Scaling and CloudWatch speak the Query protocol (form in, XML out), Systems
//! Manager JSON. Shapes: the API references, and botocore's service models.

mod address;
mod change;
mod commands;
mod connect;
mod disks;
mod doors;
mod errors;
mod groups;
mod iam;
mod instances;
mod key_pairs;
mod launch;
mod lookup;
mod machine;
mod metrics;
mod network;
mod params;
mod power;
mod profile;
mod roles;
mod runbook;
mod scaling;
mod sessions;
mod ssm;

use std::time::{Duration, Instant};

use super::Shared;
use super::http::{Answer, Call};
use super::record::Made;
use super::world::{Instance, World};
use super::xml::Xml;
pub(super) use params::{Params, like};

/// A service, told by the version of its API or by the target header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Ec2,
    Sts,
    Iam,
    Scaling,
    Metrics,
    /// The same service in JSON.
    MetricsJson,
    Ssm,
    /// EC2 Instance Connect.
    Connect,
}

impl Service {
    fn of(call: &Call<'_>, params: &Params) -> Option<Self> {
        if let Some(target) = call.target {
            return match target.split('.').next() {
                Some("AmazonSSM") => Some(Self::Ssm),
                Some("AWSEC2InstanceConnectService") => Some(Self::Connect),
                Some("GraniteServiceVersion20100801") => Some(Self::MetricsJson),
                _ => None,
            };
        }
        match params.get("Version") {
            None | Some("2016-11-15") => Some(Self::Ec2),
            Some("2011-06-15") => Some(Self::Sts),
            Some("2010-05-08") => Some(Self::Iam),
            Some("2011-01-01") => Some(Self::Scaling),
            Some("2010-08-01") => Some(Self::Metrics),
            Some(_) => None,
        }
    }

    /// The prefix of its actions in IAM policies.
    fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::Scaling => "autoscaling",
            Self::Metrics | Self::MetricsJson => "cloudwatch",
            Self::Ssm => "ssm",
            Self::Connect => "ec2-instance-connect",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Ec2 | Self::Ssm | Self::Connect | Self::MetricsJson => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Scaling => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
            Self::Metrics => "http://monitoring.amazonaws.com/doc/2010-08-01/",
        }
    }
}

/// An error as AWS words it.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Problem {
    /// A 400 with this code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    fn dry_run() -> Self {
        Self {
            status: 412,
            code: "DryRunOperation",
            message: "Request would have succeeded, but DryRun flag is set.".to_owned(),
        }
    }
}

pub(super) type Outcome = Result<(), Problem>;

/// Answers a request.
pub(super) fn answer(shared: &Shared, call: &Call<'_>) -> Answer {
    let params = match call.target {
        Some(_) => Params::from_json(call.form),
        None => Params::parse(call.form),
    };
    let action = match call.target {
        Some(target) => target.rsplit('.').next().unwrap_or_default(),
        None => params.get("Action").unwrap_or_default(),
    };
    let Some(service) = Service::of(call, &params) else {
        let service = if call.target.is_some() { Service::Ssm } else { Service::Sts };
        return errors::answer(service, &unknown(action), call.id);
    };
    if let Some(problem) = errors::signature(shared, service, call) {
        return errors::answer(service, &problem, call.id);
    }
    let mut world = match call.region {
        // IAM is one for all Regions.
        Some(region) if region != super::REGION && service != Service::Iam => shared.elsewhere(),
        _ => shared.world(),
    };
    world.settle(Instant::now());
    let name = format!("{}:{action}", service.prefix());
    if let Some(problem) = throttled(&mut world, service, &name, &params) {
        return errors::answer(service, &problem, call.id);
    }
    let denial = if service == Service::Ec2 && !known(action) { None } else { denied(&world, &name, &params) };
    let outcome = match denial {
        Some(problem) => Err(problem),
        None => perform(&mut world, service, action, &params, call),
    };
    let reads = ["Describe", "Get", "List", "Simulate"].iter().any(|start| action.starts_with(start));
    let made = (outcome.is_ok() && !reads).then(|| Made::of(&world, &name, &params));
    drop(world);
    match outcome {
        Ok(body) => {
            if let Some(made) = made {
                shared.record(made);
                shared.changed.notify_one();
            }
            wrap(service, action, &body, call.id)
        }
        Err(problem) => errors::answer(service, &problem, call.id),
    }
}

/// Performs an action: the inner part of its answer.
fn perform(
    world: &mut World,
    service: Service,
    action: &str,
    params: &Params,
    call: &Call<'_>,
) -> Result<String, Problem> {
    let mut xml = Xml::new();
    match service {
        Service::Ec2 => run(world, action, params, &mut xml)?,
        Service::Sts if action == "GetCallerIdentity" => {
            xml.put("Arn", &world.caller).put("UserId", "AIDAPRACTICE0000USER1").put("Account", &world.account);
        }
        Service::Sts => return Err(unknown(action)),
        Service::Iam => iam::run(world, action, params, &mut xml)?,
        Service::Scaling => scaling::run(world, action, params, &mut xml)?,
        Service::Metrics => metrics::run(world, action, params, &mut xml)?,
        Service::MetricsJson => return metrics::run_json(world, action, call.form).map(|value| value.to_string()),
        Service::Connect => return connect::run(world, action, call.form).map(|value| value.to_string()),
        Service::Ssm => return ssm::run(world, action, call.form).map(|value| value.to_string()),
    }
    Ok(xml.finish())
}

fn wrap(service: Service, action: &str, body: &str, request_id: &str) -> Answer {
    let namespace = service.namespace();
    let (content_type, body) = match service {
        Service::Ssm | Service::Connect => ("application/x-amz-json-1.1", body.to_owned()),
        Service::MetricsJson => ("application/x-amz-json-1.0", body.to_owned()),
        Service::Ec2 => (
            "text/xml;charset=UTF-8",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{namespace}\"><requestId>{request_id}</requestId>{body}</{action}Response>"
            ),
        ),
        Service::Sts | Service::Iam | Service::Scaling | Service::Metrics => (
            "text/xml",
            format!(
                "<{action}Response xmlns=\"{namespace}\"><{action}Result>{body}</{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
            ),
        ),
    };
    Answer { status: 200, content_type, body }
}

fn unknown(action: &str) -> Problem {
    Problem::new("InvalidAction", format!("The action {action} is not valid for this web service."))
}

/// After so long without an answered call the others have used up the limit again.
const QUIET: Duration = Duration::from_secs(5);

/// Turns a request away that comes too often, if the story wants it so.
fn throttled(world: &mut World, service: Service, action: &str, params: &Params) -> Option<Problem> {
    let hit = world.throttles.iter().position(|throttle| {
        throttle.action.as_ref().is_none_or(|known| known == action)
            && throttle.about.as_ref().is_none_or(|about| params.values().any(|value| belongs(world, value, about)))
    })?;
    let throttle = &mut world.throttles[hit];
    // AWS counts the calls of an action, whatever they ask for: all of them share the refusals.
    let (refused, answered) = throttle.seen.entry(action.to_owned()).or_default();
    let now = Instant::now();
    if answered.is_some_and(|last| now.duration_since(last) > QUIET) {
        (*refused, *answered) = (0, None);
    }
    if *refused < throttle.times {
        *refused += 1;
        return Some(errors::throttling(service));
    }
    *answered = Some(now);
    None
}

/// Why the caller may not do this, if so.
fn denied(world: &World, action: &str, params: &Params) -> Option<Problem> {
    let denial = world.denials.iter().find(|denial| {
        denial.action == action
            && denial.about.as_ref().is_none_or(|about| params.values().any(|value| belongs(world, value, about)))
    })?;
    Some(errors::denial(world, denial))
}

/// What a caller is told that may not do something.
pub(super) fn refusal(world: &World, action: &str, params: &Params) -> Option<String> {
    denied(world, action, params).map(|problem| problem.message)
}

/// True if any value in a request names this instance, its interface, its role, one of its groups or their rules; or, if
/// `wide`, something in its VPC.
pub(super) fn is_about(world: &World, params: &Params, instance: &Instance, wide: bool) -> bool {
    params.values().any(|value| {
        let own_rule = || world.rules.iter().any(|rule| rule.id == value && instance.groups.contains(&rule.group));
        value == instance.volume
            || belongs(world, value, &instance.id)
            || own_rule()
            || (wide && in_vpc(world, value, &instance.vpc))
    })
}

/// True if a value names this VPC or what steers its packets.
fn in_vpc(world: &World, value: &str, vpc: &str) -> bool {
    value == vpc
        || world.nacls.iter().any(|acl| acl.id == value && acl.vpc == vpc)
        || world.route_tables.iter().any(|table| table.id == value && table.vpc == vpc)
        || world.subnets.iter().any(|subnet| subnet.id == value && subnet.vpc == vpc)
        || world.gateways.iter().any(|gateway| gateway.id == value && gateway.vpc.as_deref() == Some(vpc))
}

/// True if a value in a request names this instance, its interface or its role, or this VPC or something in it.
fn belongs(world: &World, value: &str, about: &str) -> bool {
    let vpc = about;
    value == about
        || world
            .instance(about)
            .is_some_and(|instance| instance.interface == value || instance.groups.iter().any(|id| id == value))
        || world
            .instance(about)
            .and_then(|instance| instance.role.as_deref())
            .is_some_and(|role| value == role || value.ends_with(&format!(":role/{role}")))
        || world.groups.iter().any(|group| group.id == value && group.vpc == vpc)
        || world.subnets.iter().any(|subnet| subnet.id == value && subnet.vpc == vpc)
        || world
            .instances
            .iter()
            .any(|instance| (instance.id == value || instance.interface == value) && instance.vpc == vpc)
}

/// Performs one EC2 action and writes its answer.
fn run(world: &mut World, action: &str, params: &Params, xml: &mut Xml) -> Outcome {
    if !known(action) {
        return Err(unknown(action));
    }
    if let Some(element) = empty(action) {
        xml.list(element, [(); 0], |_, ()| {});
        return Ok(());
    }
    // Reads ask for permission only as well, but their parameters are cheap to check first.
    let dry = params.flag("DryRun");
    if let Some(read) = read(action) {
        return if dry { Err(Problem::dry_run()) } else { read(world, params, xml) };
    }
    match write(action) {
        Some(write) => write(world, params, xml, dry),
        None => Err(unknown(action)),
    }
}

type Read = fn(&World, &Params, &mut Xml) -> Outcome;
type Write = fn(&mut World, &Params, &mut Xml, bool) -> Outcome;

fn known(action: &str) -> bool {
    read(action).is_some() || write(action).is_some() || empty(action).is_some()
}

fn read(action: &str) -> Option<Read> {
    Some(match action {
        "DescribeInstances" => instances::instances,
        "DescribeInstanceStatus" => instances::status,
        "DescribeInstanceAttribute" => machine::attribute,
        "DescribeNetworkInterfaces" => instances::interfaces,
        "DescribeVolumes" => machine::volumes,
        "DescribeSnapshots" => disks::snapshots,
        "DescribeInstanceTypeOfferings" => launch::offerings,
        "DescribeInstanceTypes" => machine::types,
        "DescribeInstanceCreditSpecifications" => machine::credits,
        "DescribeSpotInstanceRequests" => machine::spot_requests,
        "GetPasswordData" => machine::password,
        "GetConsoleOutput" => machine::console_output,
        "GetConsoleScreenshot" => machine::screenshot,
        "DescribeIamInstanceProfileAssociations" => profile::associations,
        "DescribeVpcEndpoints" => doors::vpc_endpoints,
        "DescribeInstanceConnectEndpoints" => doors::connect_endpoints,
        "GetSerialConsoleAccessStatus" => doors::serial_console,
        "DescribeVpcPeeringConnections" => doors::peerings,
        "DescribeTransitGatewayAttachments" => doors::transit,
        "DescribeNatGateways" => doors::nats,
        "DescribeEgressOnlyInternetGateways" => doors::egress_only,
        "DescribeManagedPrefixLists" => doors::prefix_lists,
        "GetManagedPrefixListEntries" => doors::prefix_entries,
        "DescribeVpcBlockPublicAccessExclusions" => network::exclusions,
        "DescribeSecurityGroups" => groups::groups,
        "DescribeSecurityGroupRules" => groups::rules,
        "DescribeNetworkAcls" => network::nacls,
        "DescribeRouteTables" => network::route_tables,
        "DescribeInternetGateways" => network::gateways,
        "DescribeSubnets" => network::subnets,
        "DescribeVpcs" => network::vpcs,
        "DescribeVpcAttribute" => network::vpc_attribute,
        "DescribeVpcBlockPublicAccessOptions" => network::block_public_access,
        "DescribeAddresses" => network::addresses,
        "DescribeKeyPairs" => lookup::key_pairs,
        "DescribeImages" => lookup::images,
        "DescribeRegions" => lookup::regions,
        "DescribeAvailabilityZones" => lookup::zones,
        "DescribeTags" => lookup::tags,
        _ => return None,
    })
}

fn write(action: &str) -> Option<Write> {
    Some(match action {
        "AuthorizeSecurityGroupIngress" => groups::authorize,
        "RevokeSecurityGroupIngress" => groups::revoke,
        "ModifySecurityGroupRules" => groups::modify,
        "ImportKeyPair" => key_pairs::import,
        "CreateKeyPair" => key_pairs::create,
        "DeleteKeyPair" => key_pairs::delete,
        "CreateTags" => change::create_tags,
        "DeleteTags" => change::delete_tags,
        "StartInstances" => power::start,
        "StopInstances" => power::stop,
        "RebootInstances" => power::reboot,
        "ModifyInstanceCreditSpecification" => machine::modify_credits,
        "ModifyInstanceAttribute" => machine::modify_attribute,
        "ModifyInstanceMetadataOptions" => machine::modify_metadata,
        "AttachVolume" => machine::attach_volume,
        "DetachVolume" => disks::detach_volume,
        "CreateSnapshot" => disks::create_snapshot,
        "RunInstances" => launch::run,
        "TerminateInstances" => launch::terminate,
        "AssociateIamInstanceProfile" => profile::associate,
        "ReplaceIamInstanceProfileAssociation" => profile::replace,
        "DisassociateIamInstanceProfile" => profile::disassociate,
        "EnableSerialConsoleAccess" => doors::enable_serial_console,
        "DisableSerialConsoleAccess" => doors::disable_serial_console,
        "CreateNetworkAclEntry" => change::create_entry,
        "ReplaceNetworkAclEntry" => change::replace_entry,
        "DeleteNetworkAclEntry" => change::delete_entry,
        "CreateRoute" => change::create_route,
        "ReplaceRoute" => change::replace_route,
        "DeleteRoute" => change::delete_route,
        "CreateInternetGateway" => change::create_gateway,
        "DeleteInternetGateway" => change::delete_gateway,
        "AttachInternetGateway" => change::attach_gateway,
        "DetachInternetGateway" => change::detach_gateway,
        "AllocateAddress" => address::allocate,
        "ReleaseAddress" => address::release,
        "AssociateAddress" => address::associate,
        "DisassociateAddress" => address::disassociate,
        _ => return None,
    })
}

/// Lists of things that this account has none of: the name of their element.
fn empty(action: &str) -> Option<&'static str> {
    Some(match action {
        "DescribeReplaceRootVolumeTasks" => "replaceRootVolumeTaskSet",
        _ => return None,
    })
}

/// Gives a new resource the tags that its request names.
fn take_tags(world: &mut World, params: &Params, id: &str) {
    for number in params.indices("TagSpecification") {
        let base = format!("TagSpecification.{number}.Tag");
        for tag in params.indices(&base) {
            let key = params.get(&format!("{base}.{tag}.Key")).unwrap_or_default().to_owned();
            let value = params.get(&format!("{base}.{tag}.Value")).unwrap_or_default().to_owned();
            world.tag(id, &key, &value);
        }
    }
}

/// The tags of a resource, if it has any.
fn write_tags(world: &World, resource: &str, xml: &mut Xml) {
    let tags = world.tags.get(resource);
    xml.list("tagSet", tags.into_iter().flatten(), |xml, (key, value)| {
        xml.put("key", key).put("value", value);
    });
}
