//! Instance profiles: which instance has which, and changes of that.

use super::instances::check_ids;
use super::params::Params;
use super::{Outcome, Problem};
use crate::lab::ids::time_text;
use crate::lab::policy;
use crate::lab::world::{Instance, World};
use crate::lab::xml::Xml;

/// The id of an association.
fn association(instance: &Instance) -> String {
    instance.id.replacen("i-", "iip-assoc-", 1)
}

/// The ARN of an instance profile.
pub(super) fn arn(world: &World, name: &str) -> String {
    format!("arn:aws:iam::{}:instance-profile/{name}", world.account)
}

fn write(world: &World, instance: &Instance, name: &str, xml: &mut Xml) {
    xml.put("associationId", association(instance)).put("instanceId", &instance.id);
    xml.group("iamInstanceProfile", |xml| {
        xml.put("arn", arn(world, name)).put("id", "AIPAPRACTICE0000PROF1");
    });
    xml.put("state", "associated").put("timestamp", time_text(instance.launched));
}

pub(super) fn associations(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("AssociationId");
    let wanted = world
        .instances
        .iter()
        .filter(|instance| instance.role.is_some())
        .filter(|instance| ids.is_empty() || ids.contains(&association(instance)));
    let found = params.select(
        world,
        wanted,
        |instance| &instance.id,
        |instance, name| {
            Some(match name {
                "instance-id" => vec![instance.id.clone()],
                "state" => vec!["associated".to_owned()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("iamInstanceProfileAssociationSet", page, |xml, instance| {
        write(world, instance, instance.role.as_deref().unwrap_or_default(), xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

/// The profile that a request names, by name or ARN.
fn wanted(world: &World, params: &Params) -> Result<String, Problem> {
    let name = match (params.get("IamInstanceProfile.Name"), params.get("IamInstanceProfile.Arn")) {
        (Some(name), _) => name,
        (None, Some(arn)) => arn.rsplit('/').next().unwrap_or_default(),
        (None, None) => params.required("IamInstanceProfile.Name")?,
    };
    if !policy::is_profile(world, name) {
        let message = format!(
            "Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
        );
        return Err(Problem::new("InvalidParameterValue", message));
    }
    Ok(name.to_owned())
}

fn set(world: &mut World, id: &str, name: Option<&str>, xml: &mut Xml) {
    if let Some(instance) = world.instance_mut(id) {
        instance.role = name.map(str::to_owned);
    }
    if let Some(instance) = world.instance(id) {
        xml.group("iamInstanceProfileAssociation", |xml| write(world, instance, name.unwrap_or_default(), xml));
    }
}

pub(super) fn associate(world: &mut World, params: &Params, xml: &mut Xml, _dry: bool) -> Outcome {
    let id = params.required("InstanceId")?.to_owned();
    check_ids(world, std::slice::from_ref(&id))?;
    let name = wanted(world, params)?;
    if world.instance(&id).is_some_and(|instance| instance.role.is_some()) {
        let message = format!("There is an existing association for instance {id}");
        return Err(Problem::new("IncorrectState", message));
    }
    set(world, &id, Some(&name), xml);
    Ok(())
}

fn associated(world: &World, params: &Params) -> Result<String, Problem> {
    let id = params.required("AssociationId")?;
    let known = |instance: &&Instance| instance.role.is_some() && association(instance) == id;
    world.instances.iter().find(known).map(|instance| instance.id.clone()).ok_or_else(|| {
        Problem::new("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"))
    })
}

pub(super) fn replace(world: &mut World, params: &Params, xml: &mut Xml, _dry: bool) -> Outcome {
    let id = associated(world, params)?;
    let name = wanted(world, params)?;
    set(world, &id, Some(&name), xml);
    Ok(())
}

pub(super) fn disassociate(world: &mut World, params: &Params, xml: &mut Xml, _dry: bool) -> Outcome {
    let id = associated(world, params)?;
    set(world, &id, None, xml);
    Ok(())
}
