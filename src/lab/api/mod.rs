//! The AWS actions that the practice endpoint knows: dispatch, errors, denials, answers.
//!
//! Used by `http`. EC2 and STS speak the Query protocol (form in, XML out), Systems Manager JSON.
//! Shapes and error codes: EC2 API Reference, version 2016-11-15.

mod address;
mod change;
mod groups;
mod instances;
mod lookup;
mod network;
mod params;
mod power;

use std::time::Instant;

use super::Shared;
use super::http::Answer;
use super::world::World;
use super::xml::{Xml, escape};
use params::Params;

const EC2: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

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

/// Answers a Query request.
pub(super) fn query(shared: &Shared, form: &str, region: Option<&str>, request_id: &str) -> Answer {
    let params = Params::parse(form);
    let action = params.get("Action").unwrap_or_default().to_owned();
    if action == "GetCallerIdentity" {
        let world = shared.world();
        return identity(&world, request_id);
    }
    let ec2 = params.get("Version").is_none_or(|version| version == "2016-11-15");
    let (outcome, body, changes) = {
        let mut world = match region {
            Some(region) if region != super::REGION => shared.elsewhere(),
            _ => shared.world(),
        };
        world.settle(Instant::now());
        let mut xml = Xml::new();
        let outcome = ec2.then(|| run(&mut world, &action, &params, &mut xml));
        (outcome, xml.finish(), !action.starts_with("Describe") && !action.starts_with("Get"))
    };
    match outcome {
        Some(Ok(())) => {
            if changes {
                shared.changed.notify_one();
            }
            Answer {
                status: 200,
                content_type: "text/xml;charset=UTF-8",
                body: format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{EC2}\"><requestId>{request_id}</requestId>{body}</{action}Response>"
                ),
            }
        }
        Some(Err(problem)) => error_answer(&problem, request_id, true),
        None => error_answer(&unknown(&action), request_id, false),
    }
}

fn unknown(action: &str) -> Problem {
    Problem::new("InvalidAction", format!("The action {action} is not valid for this web service."))
}

fn error_answer(problem: &Problem, request_id: &str, ec2: bool) -> Answer {
    let mut message = String::new();
    escape(&mut message, &problem.message);
    let code = problem.code;
    let body = if ec2 {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
    } else {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    };
    Answer { status: problem.status, content_type: "text/xml;charset=UTF-8", body }
}

fn identity(world: &World, request_id: &str) -> Answer {
    Answer {
        status: 200,
        content_type: "text/xml",
        body: format!(
            "<GetCallerIdentityResponse xmlns=\"{STS}\"><GetCallerIdentityResult><Arn>{}</Arn><UserId>AIDAPRACTICE0000USER1</UserId><Account>{}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
            world.caller, world.account
        ),
    }
}

/// Answers a JSON request; the action is in the X-Amz-Target header.
pub(super) fn json(shared: &Shared, target: &str, body: &str, region: Option<&str>) -> Answer {
    let (status, body) = match target {
        "AmazonSSM.DescribeInstanceInformation" => {
            let mut world = match region {
                Some(region) if region != super::REGION => shared.elsewhere(),
                _ => shared.world(),
            };
            world.settle(Instant::now());
            match denied(&world, "ssm:DescribeInstanceInformation", &Params::default()) {
                Some(problem) => {
                    (400, serde_json::json!({"__type": "AccessDeniedException", "message": problem.message}))
                }
                None => lookup::instance_information(&world, body),
            }
        }
        other => {
            let message = format!("The practice account does not serve {other}.");
            (400, serde_json::json!({"__type": "UnknownOperationException", "message": message}))
        }
    };
    Answer { status, content_type: "application/x-amz-json-1.1", body: body.to_string() }
}

/// Why the caller may not do this, if so.
fn denied(world: &World, action: &str, params: &Params) -> Option<Problem> {
    let denial = world.denials.iter().find(|denial| {
        denial.action == action
            && denial.vpc.as_ref().is_none_or(|vpc| params.values().any(|value| belongs(world, value, vpc)))
    })?;
    Some(Problem {
        status: 403,
        code: "UnauthorizedOperation",
        message: format!(
            "You are not authorized to perform this operation. User: {} is not authorized to perform: {} on resource: arn:aws:ec2:{}:{}:* because no identity-based policy allows the {} action. Encoded authorization failure message: {}",
            world.caller,
            denial.action,
            world.region,
            world.account,
            denial.action,
            super::ids::hex(&super::ids::bytes(world.seed, "denied", &denial.action)).repeat(3),
        ),
    })
}

/// True if a value in a request names this VPC or something in it.
fn belongs(world: &World, value: &str, vpc: &str) -> bool {
    value == vpc
        || world.groups.iter().any(|group| group.id == value && group.vpc == vpc)
        || world.subnets.iter().any(|subnet| subnet.id == value && subnet.vpc == vpc)
        || world
            .instances
            .iter()
            .any(|instance| (instance.id == value || instance.interface == value) && instance.vpc == vpc)
}

/// Performs one EC2 action and writes its answer.
fn run(world: &mut World, action: &str, params: &Params, xml: &mut Xml) -> Outcome {
    let known = known(action);
    if !known {
        return Err(unknown(action));
    }
    if let Some(problem) = denied(world, &format!("ec2:{action}"), params) {
        return Err(problem);
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
        "DescribeInstanceAttribute" => instances::attribute,
        "DescribeNetworkInterfaces" => instances::interfaces,
        "DescribeVolumes" => instances::volumes,
        "GetConsoleOutput" => instances::console_output,
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
        "DescribeInstanceTypes" => lookup::instance_types,
        "DescribeTags" => lookup::tags,
        "GetSerialConsoleAccessStatus" => lookup::serial_console,
        _ => return None,
    })
}

fn write(action: &str) -> Option<Write> {
    Some(match action {
        "AuthorizeSecurityGroupIngress" => groups::authorize,
        "RevokeSecurityGroupIngress" => groups::revoke,
        "ModifySecurityGroupRules" => groups::modify,
        "CreateTags" => change::create_tags,
        "DeleteTags" => change::delete_tags,
        "StartInstances" => power::start,
        "StopInstances" => power::stop,
        "RebootInstances" => power::reboot,
        "CreateNetworkAclEntry" => change::create_entry,
        "ReplaceNetworkAclEntry" => change::replace_entry,
        "DeleteNetworkAclEntry" => change::delete_entry,
        "CreateRoute" => change::create_route,
        "ReplaceRoute" => change::replace_route,
        "DeleteRoute" => change::delete_route,
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
        "DescribeManagedPrefixLists" => "prefixListSet",
        "DescribeInstanceConnectEndpoints" => "instanceConnectEndpointSet",
        "DescribeNatGateways" => "natGatewaySet",
        "DescribeVpcEndpoints" => "vpcEndpointSet",
        "DescribeVpcPeeringConnections" => "vpcPeeringConnectionSet",
        "DescribeEgressOnlyInternetGateways" => "egressOnlyInternetGatewaySet",
        "DescribeVpcBlockPublicAccessExclusions" => "vpcBlockPublicAccessExclusionSet",
        "DescribeTransitGatewayAttachments" => "transitGatewayAttachments",
        "DescribeIamInstanceProfileAssociations" => "iamInstanceProfileAssociationSet",
        "DescribeSpotInstanceRequests" => "spotInstanceRequestSet",
        "DescribeReplaceRootVolumeTasks" => "replaceRootVolumeTaskSet",
        "DescribeSnapshots" => "snapshotSet",
        _ => return None,
    })
}

/// The tags of a resource, if it has any.
fn write_tags(world: &World, resource: &str, xml: &mut Xml) {
    let tags = world.tags.get(resource);
    xml.list("tagSet", tags.into_iter().flatten(), |xml, (key, value)| {
        xml.put("key", key).put("value", value);
    });
}
