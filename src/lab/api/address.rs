//! Elastic IP addresses: allocate, associate, take away, release.

use super::instances::check_ids;
use super::params::Params;
use super::{Outcome, Problem, take_tags};
use crate::lab::world::{Address, State, World};
use crate::lab::xml::Xml;

/// Elastic IP addresses per Region; the real default is 5, of which the story uses some.
const ADDRESS_QUOTA: usize = 24;

pub(super) fn allocate(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    if world.addresses.len() >= ADDRESS_QUOTA {
        return Err(Problem::new("AddressLimitExceeded", "The maximum number of addresses has been reached."));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    let ip = world.fresh_address();
    let allocation = world.fresh_id("eipalloc");
    xml.put("publicIp", ip)
        .put("allocationId", &allocation)
        .put("publicIpv4Pool", "amazon")
        .put("networkBorderGroup", &world.region)
        .put("domain", "vpc");
    take_tags(world, params, &allocation);
    world.addresses.push(Address { allocation, ip, bound: None });
    Ok(())
}

fn address_at(world: &World, params: &Params) -> Result<usize, Problem> {
    if let Some(id) = params.get("AllocationId") {
        world.addresses.iter().position(|address| address.allocation == id).ok_or_else(|| {
            Problem::new("InvalidAllocationID.NotFound", format!("The allocation ID '{id}' does not exist"))
        })
    } else {
        let ip = params.required("PublicIp")?;
        world
            .addresses
            .iter()
            .position(|address| address.ip.to_string() == ip)
            .ok_or_else(|| Problem::new("InvalidAddress.NotFound", format!("Address '{ip}' not found.")))
    }
}

pub(super) fn release(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = address_at(world, params)?;
    if world.addresses[at].bound.is_some() {
        let message = format!("The address with allocation ID '{}' is in use.", world.addresses[at].allocation);
        return Err(Problem::new("InvalidIPAddress.InUse", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    world.addresses.remove(at);
    xml.put("return", true);
    Ok(())
}

pub(super) fn associate(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = address_at(world, params)?;
    let id = match params.get("NetworkInterfaceId") {
        Some(interface) => world.owner_of(interface).map(|instance| instance.id.clone()).ok_or_else(|| {
            let message = format!("The networkInterface ID '{interface}' does not exist");
            Problem::new("InvalidNetworkInterfaceID.NotFound", message)
        })?,
        None => params.required("InstanceId")?.to_owned(),
    };
    check_ids(world, std::slice::from_ref(&id))?;
    let vpc = world.instance(&id).map(|instance| instance.vpc.clone());
    if !world.gateways.iter().any(|gateway| gateway.vpc == vpc) {
        let message = format!("Network {} is not attached to any internet gateway", vpc.unwrap_or_default());
        return Err(Problem::new("Gateway.NotAttached", message));
    }
    // EC2 moves an address without asking unless told not to.
    if params.get("AllowReassociation") == Some("false") && world.addresses[at].bound.is_some() {
        let message = format!("resource {} is already associated", world.addresses[at].allocation);
        return Err(Problem::new("Resource.AlreadyAssociated", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    unbind(world, at);
    for other in &mut world.addresses {
        if other.bound.as_ref().is_some_and(|(_, bound)| *bound == id) {
            other.bound = None;
        }
    }
    let association = world.fresh_id("eipassoc");
    let ip = world.addresses[at].ip;
    world.addresses[at].bound = Some((association.clone(), id.clone()));
    if let Some(instance) = world.instance_mut(&id) {
        instance.public = Some(ip);
    }
    xml.put("return", true).put("associationId", association);
    Ok(())
}

/// Takes an address from its instance, which gets an automatic one back if it had one by launch.
fn unbind(world: &mut World, at: usize) {
    let Some((_, id)) = world.addresses[at].bound.take() else {
        return;
    };
    let wants = world.instance(&id).is_some_and(|instance| instance.auto_public && instance.state == State::Running);
    let fresh = wants.then(|| world.fresh_address());
    if let Some(instance) = world.instance_mut(&id) {
        instance.public = fresh;
    }
}

pub(super) fn disassociate(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = match params.get("AssociationId") {
        Some(id) => world
            .addresses
            .iter()
            .position(|address| address.bound.as_ref().is_some_and(|(known, _)| known == id))
            .ok_or_else(|| {
                Problem::new("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"))
            })?,
        None => address_at(world, params)?,
    };
    if dry {
        return Err(Problem::dry_run());
    }
    unbind(world, at);
    xml.put("return", true);
    Ok(())
}
