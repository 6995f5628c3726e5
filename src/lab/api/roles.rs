//! IAM: roles and instance profiles made, joined, taken apart. Used by `iam`.

use super::iam::{missing, role_of, write_profile, write_role};
use super::params::Params;
use super::{Outcome, Problem};
use crate::lab::policy;
use crate::lab::world::{Profile, Role, World};
use crate::lab::xml::Xml;

/// Answers a change; `None` when it is none of these.
pub(super) fn run(world: &mut World, action: &str, params: &Params, xml: &mut Xml) -> Option<Outcome> {
    Some(match action {
        "GetRole" => role_of(world, params).map(|role| {
            xml.group("Role", |xml| write_role(world, role, xml));
        }),
        "CreateRole" => create_role(world, params, xml),
        "DeleteRole" => delete_role(world, params),
        "DetachRolePolicy" => detach(world, params),
        "CreateInstanceProfile" => create_profile(world, params, xml),
        "DeleteInstanceProfile" => delete_profile(world, params),
        "AddRoleToInstanceProfile" => join(world, params, true),
        "RemoveRoleFromInstanceProfile" => join(world, params, false),
        "ListEntitiesForPolicy" => entities(world, params, xml),
        "ListInstanceProfilesForRole" => profiles_of(world, params, xml),
        _ => return None,
    })
}

fn exists(what: &str) -> Problem {
    Problem { status: 409, code: "EntityAlreadyExists", message: format!("{what} already exists.") }
}

fn conflict(message: &str) -> Problem {
    Problem { status: 409, code: "DeleteConflict", message: message.to_owned() }
}

/// Tags of a request; what is made here always has one, so that it is told from a story's.
fn tags(params: &Params) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = (1..=50)
        .map_while(|n| {
            let key = params.get(&format!("Tags.member.{n}.Key"))?;
            let value = params.get(&format!("Tags.member.{n}.Value")).unwrap_or_default();
            Some((key.to_owned(), value.to_owned()))
        })
        .collect();
    if out.is_empty() {
        out.push(("made-by".to_owned(), "a call".to_owned()));
    }
    out
}

fn create_role(world: &mut World, params: &Params, xml: &mut Xml) -> Outcome {
    let name = params.required("RoleName")?.to_owned();
    params.required("AssumeRolePolicyDocument")?;
    if policy::role(world, &name).is_some() {
        return Err(exists(&format!("Role with name {name}")));
    }
    let role = Role { name: name.clone(), attached: Vec::new(), inline: Vec::new(), tags: tags(params) };
    world.roles.push(role);
    if let Some(role) = policy::role(world, &name) {
        xml.group("Role", |xml| write_role(world, role, xml));
    }
    Ok(())
}

fn delete_role(world: &mut World, params: &Params) -> Outcome {
    let role = role_of(world, params)?;
    if !role.attached.is_empty() || !role.inline.is_empty() {
        return Err(conflict("Cannot delete entity, must detach all policies first."));
    }
    let name = role.name.clone();
    if world.profiles.iter().any(|known| known.role.as_ref() == Some(&name)) {
        return Err(conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    world.roles.retain(|known| known.name != name);
    Ok(())
}

fn detach(world: &mut World, params: &Params) -> Outcome {
    let name = role_of(world, params)?.name.clone();
    let arn = params.required("PolicyArn")?;
    let policy = arn.rsplit('/').next().unwrap_or_default().to_owned();
    let role = world.roles.iter_mut().find(|known| known.name == name && known.attached.contains(&policy));
    let role = role.ok_or_else(|| missing(&format!("Policy {arn} was not found.")))?;
    role.attached.retain(|known| *known != policy);
    Ok(())
}

fn create_profile(world: &mut World, params: &Params, xml: &mut Xml) -> Outcome {
    let name = params.required("InstanceProfileName")?.to_owned();
    if policy::is_profile(world, &name) {
        return Err(exists(&format!("Instance Profile {name}")));
    }
    world.profiles.push(Profile { name: name.clone(), role: None, tags: tags(params) });
    xml.group("InstanceProfile", |xml| write_profile(world, &name, xml));
    Ok(())
}

fn made<'a>(world: &'a mut World, params: &Params) -> Result<&'a mut Profile, Problem> {
    let name = params.required("InstanceProfileName")?;
    let found = world.profiles.iter_mut().find(|known| known.name == name);
    found.ok_or_else(|| missing(&format!("Instance Profile {name} cannot be found.")))
}

fn delete_profile(world: &mut World, params: &Params) -> Outcome {
    let profile = made(world, params)?;
    if profile.role.is_some() {
        return Err(conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    let name = profile.name.clone();
    world.profiles.retain(|known| known.name != name);
    Ok(())
}

fn join(world: &mut World, params: &Params, add: bool) -> Outcome {
    let role = role_of(world, params)?.name.clone();
    let profile = made(world, params)?;
    match (add, profile.role.as_deref()) {
        (true, Some(_)) => {
            let message = "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1".to_owned();
            Err(Problem { status: 409, code: "LimitExceeded", message })
        }
        (true, None) => {
            profile.role = Some(role);
            Ok(())
        }
        (false, Some(known)) if known == role => {
            profile.role = None;
            Ok(())
        }
        (false, _) => Err(missing(&format!("Role {role} is not in the instance profile."))),
    }
}

fn entities(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let policy = params.required("PolicyArn")?.rsplit('/').next().unwrap_or_default().to_owned();
    let roles: Vec<&Role> = world.roles.iter().filter(|role| role.attached.contains(&policy)).collect();
    xml.members("PolicyGroups", [(); 0], |_, ()| {});
    xml.members("PolicyUsers", [(); 0], |_, ()| {});
    xml.members("PolicyRoles", roles, |xml, role| {
        xml.put("RoleName", &role.name);
    });
    xml.put("IsTruncated", false);
    Ok(())
}

fn profiles_of(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let role = role_of(world, params)?;
    let mut names: Vec<&str> =
        world.profiles.iter().filter(|p| p.role.as_ref() == Some(&role.name)).map(|p| p.name.as_str()).collect();
    if role.tags.is_empty() {
        names.push(&role.name);
    }
    xml.members("InstanceProfiles", names, |xml, name| write_profile(world, name, xml));
    xml.put("IsTruncated", false);
    Ok(())
}
