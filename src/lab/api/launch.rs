//! Instances launched and terminated, and which types a zone offers.
//!
//! What is launched here has the agent of Systems Manager and no login of anybody.

use std::time::{Instant, SystemTime};

use super::disks::tags_for;
use super::instances::check_ids;
use super::params::Params;
use super::{Outcome, Problem};
use crate::lab::keys;
use crate::lab::policy;
use crate::lab::scenario::{MachineSpec, OsSpec, SshdSpec};
use crate::lab::world::{Instance, Root, State, World};
use crate::lab::xml::Xml;

/// Types that every zone here offers.
const OFFERED: [&str; 4] = ["t2.micro", "t3.micro", "t3.small", "m5.large"];

pub(super) fn offerings(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let kind = params.get("LocationType").unwrap_or("region");
    if !["region", "availability-zone"].contains(&kind) {
        return Err(Problem::new(
            "InvalidParameterValue",
            format!("{kind} is no location type of the practice account"),
        ));
    }
    let place = if kind == "availability-zone" { &world.zone } else { &world.region };
    let filters = params.filters();
    let found = OFFERED.iter().filter(|name| {
        filters.iter().all(|filter| match filter.name.as_str() {
            "location" => filter.accepts(&[place]),
            "instance-type" => filter.accepts(&[name]),
            _ => false,
        })
    });
    xml.list("instanceTypeOfferingSet", found, |xml, name| {
        xml.put("instanceType", name).put("locationType", kind).put("location", place);
    });
    Ok(())
}

/// What is wrong with an order for an instance.
fn check(world: &World, params: &Params) -> Outcome {
    let image = params.required("ImageId")?;
    if !world.images.iter().any(|known| known.id == image) {
        return Err(Problem::new("InvalidAMIID.NotFound", format!("The image id '[{image}]' does not exist")));
    }
    if let Some(profile) = params.get("IamInstanceProfile.Name")
        && policy::role_in_profile(world, profile).is_none()
        && !world.profiles.iter().any(|known| known.name == profile)
    {
        let message = format!(
            "Value ({profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
        );
        return Err(Problem::new("InvalidParameterValue", message));
    }
    let subnet = params.get("NetworkInterface.1.SubnetId").or(params.get("SubnetId")).unwrap_or_default();
    if !world.subnets.iter().any(|known| known.id == subnet) {
        return Err(Problem::new("InvalidSubnetID.NotFound", format!("The subnet ID '{subnet}' does not exist")));
    }
    let groups = params.list("NetworkInterface.1.SecurityGroupId");
    match groups.iter().find(|id| !world.groups.iter().any(|known| known.id == **id)) {
        Some(bad) => Err(Problem::new("InvalidGroup.NotFound", format!("The security group '{bad}' does not exist"))),
        None => Ok(()),
    }
}

pub(super) fn run(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    check(world, params)?;
    if dry {
        return Err(Problem::dry_run());
    }
    let token = params.get("ClientToken").unwrap_or_default().to_owned();
    let before = world.instances.iter().find(|known| !token.is_empty() && known.client_token == token);
    if before.is_some_and(|known| known.state == State::Terminated) {
        let message = "The client token you have provided is associated with an instance that has been terminated";
        return Err(Problem::new("IdempotentInstanceTerminated", message));
    }
    let id = match before {
        Some(known) => known.id.clone(),
        None => launch(world, params, token)?,
    };
    xml.put("reservationId", id.replacen("i-", "r-", 1)).put("ownerId", &world.account);
    xml.list("groupSet", [(); 0], |_, ()| {});
    let instance = world.instance(&id);
    xml.list("instancesSet", instance, |xml, instance| {
        super::instances::write_instance(world, instance, xml);
    });
    Ok(())
}

fn launch(world: &mut World, params: &Params, client_token: String) -> Result<String, Problem> {
    let id = world.fresh_id("i");
    let subnet_id = params.get("NetworkInterface.1.SubnetId").or(params.get("SubnetId")).unwrap_or_default().to_owned();
    let taken = |address: std::net::Ipv4Addr| world.instances.iter().any(|known| known.private == address);
    let (vpc, auto_public, private) = {
        let subnet = world.subnets.iter().find(|known| known.id == subnet_id);
        let subnet = subnet.ok_or_else(|| Problem::new("InvalidSubnetID.NotFound", "The subnet does not exist"))?;
        // AWS keeps the first four addresses of a subnet for itself.
        let free = subnet.cidr.hosts().skip(4).find(|address| !world.known.contains(address) && !taken(*address));
        let full = || Problem::new("InsufficientFreeAddressesInSubnet", "There are no free addresses in the subnet.");
        (subnet.vpc.clone(), subnet.auto_public, free.ok_or_else(full)?)
    };
    world.known.insert(private);
    let wanted = params.get("NetworkInterface.1.AssociatePublicIpAddress").map(|word| word == "true");
    let auto_public = wanted.unwrap_or(auto_public);
    let public = auto_public.then(|| world.fresh_address());
    let now = Instant::now();
    let host_key = keys::host_key(world.seed, &id).map_err(|why| Problem::new("InternalError", why))?;
    let transition = world.transition;
    let name = tags_for(params, "instance").into_iter().find(|(key, _)| key == "Name").map(|(_, name)| name);
    for (key, value) in tags_for(params, "instance") {
        world.tag(&id, &key, &value);
    }
    let instance = Instance {
        name: name.unwrap_or_default(),
        image: params.required("ImageId")?.to_owned(),
        key: params.get("KeyName").map(str::to_owned),
        subnet: subnet_id,
        vpc,
        groups: params.list("NetworkInterface.1.SecurityGroupId"),
        private,
        public,
        auto_public,
        state: State::Pending(now + transition),
        launched: SystemTime::now(),
        first_launched: SystemTime::now(),
        booting: Some(now + transition + transition / 2),
        initializing: Some(now + transition * 3),
        state_reason: None,
        reservation: id.replacen("i-", "r-", 1),
        interface: id.replacen("i-", "eni-", 1),
        volume: id.replacen("i-", "vol-", 1),
        delete_root: true,
        client_token,
        second: None,
        client: world.client,
        machine: MachineSpec {
            kind: params.get("InstanceType").unwrap_or("m1.small").to_owned(),
            ..MachineSpec::default()
        },
        role: params.get("IamInstanceProfile.Name").map(str::to_owned),
        root: Root::Attached,
        sshd: SshdSpec::default(),
        os: OsSpec::default(),
        parent_mode: 0o755,
        password: false,
        users: Vec::new(),
        pushed: Vec::new(),
        host_key,
        walled: false,
        records: std::collections::BTreeMap::new(),
        marks: std::collections::BTreeSet::new(),
        console: String::new(),
        good_console: String::new(),
        id: id.clone(),
    };
    world.instances.push(instance);
    Ok(id)
}

pub(super) fn terminate(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let ids = params.list("InstanceId");
    if ids.is_empty() {
        return Err(Problem::new("MissingParameter", "The request must contain the parameter InstanceId"));
    }
    check_ids(world, &ids)?;
    if dry {
        return Err(Problem::dry_run());
    }
    let mut changes = Vec::new();
    for id in ids {
        let before = super::power::state(world, &id);
        // Volumes of others that it had go free.
        for other in
            world.instances.iter_mut().filter(|other| matches!(&other.root, Root::At(holder, _) if *holder == id))
        {
            other.root = Root::Detached;
        }
        if let Some(instance) = world.instance_mut(&id) {
            instance.state = State::Terminated;
            instance.public = None;
            instance.booting = None;
            instance.initializing = None;
            let words = "Client.UserInitiatedShutdown";
            instance.state_reason = Some((words.to_owned(), format!("{words}: User initiated shutdown")));
        }
        changes.push((id, before, State::Terminated));
    }
    super::power::write_change(xml, &changes);
    Ok(())
}
