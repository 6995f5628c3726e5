//! IAM: the roles of instances and what they may do. Changes of roles and profiles are in `roles`.

use super::params::Params;
use super::profile::arn;
use super::{Outcome, Problem, roles, unknown};
use crate::lab::ids;
use crate::lab::policy;
use crate::lab::world::{Role, World};
use crate::lab::xml::Xml;

pub(super) fn run(world: &mut World, action: &str, params: &Params, xml: &mut Xml) -> Outcome {
    match action {
        "GetInstanceProfile" => profile(world, params, xml),
        "ListAttachedRolePolicies" => {
            let role = role_of(world, params)?;
            xml.members("AttachedPolicies", &role.attached, |xml, name| {
                xml.put("PolicyName", name).put("PolicyArn", format!("arn:aws:iam::aws:policy/{name}"));
            });
            xml.put("IsTruncated", false);
            Ok(())
        }
        "ListRolePolicies" => {
            let role = role_of(world, params)?;
            xml.members("PolicyNames", &role.inline, |xml, (name, _)| {
                xml.text(name);
            });
            xml.put("IsTruncated", false);
            Ok(())
        }
        "GetRolePolicy" => {
            let (role, name) = (role_of(world, params)?, params.required("PolicyName")?);
            let (_, document) = role
                .inline
                .iter()
                .find(|(known, _)| known == name)
                .ok_or_else(|| missing(&format!("The role policy with name {name} cannot be found.")))?;
            xml.put("RoleName", &role.name).put("PolicyName", name).put("PolicyDocument", encoded(document));
            Ok(())
        }
        "SimulatePrincipalPolicy" => simulate(world, params, xml),
        "AttachRolePolicy" => attach(world, params),
        other => roles::run(world, other, params, xml).unwrap_or_else(|| Err(unknown(other))),
    }
}

pub(super) fn missing(message: &str) -> Problem {
    Problem { status: 404, code: "NoSuchEntity", message: message.to_owned() }
}

pub(super) fn role_of<'a>(world: &'a World, params: &Params) -> Result<&'a Role, Problem> {
    let name = params.required("RoleName")?;
    policy::role(world, name).ok_or_else(|| missing(&format!("The role with name {name} cannot be found.")))
}

/// Policy documents are URL-encoded in answers (RFC 3986).
fn encoded(document: &str) -> String {
    form_urlencoded::byte_serialize(document.as_bytes()).collect::<String>().replace('+', "%20")
}

fn role_arn(world: &World, name: &str) -> String {
    format!("arn:aws:iam::{}:role/{name}", world.account)
}

/// An id in the form of IAM's: four letters of the kind and sixteen others.
fn unique(world: &World, kind: &str, name: &str) -> String {
    format!("{kind}{}", ids::hex(&ids::bytes(world.seed, kind, name))[..16].to_uppercase())
}

fn profile(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let name = params.required("InstanceProfileName")?;
    if !policy::is_profile(world, name) {
        return Err(missing(&format!("Instance Profile {name} cannot be found.")));
    }
    xml.group("InstanceProfile", |xml| write_profile(world, name, xml));
    Ok(())
}

/// An instance profile with its role.
pub(super) fn write_profile(world: &World, name: &str, xml: &mut Xml) {
    xml.put("Path", "/")
        .put("InstanceProfileName", name)
        .put("InstanceProfileId", unique(world, "AIPA", name))
        .put("Arn", arn(world, name))
        .put("CreateDate", "2025-08-20T08:00:00Z");
    xml.members("Roles", policy::role_in_profile(world, name), |xml, role| write_role(world, role, xml));
    let made = world.profiles.iter().find(|known| known.name == name);
    write_tags(made.map(|known| known.tags.as_slice()).unwrap_or_default(), xml);
}

/// A role; EC2 may take it.
pub(super) fn write_role(world: &World, role: &Role, xml: &mut Xml) {
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    xml.put("Path", "/")
        .put("RoleName", &role.name)
        .put("RoleId", unique(world, "AROA", &role.name))
        .put("Arn", role_arn(world, &role.name))
        .put("CreateDate", "2025-08-20T08:00:00Z")
        .put("AssumeRolePolicyDocument", encoded(trust));
    write_tags(&role.tags, xml);
}

fn write_tags(tags: &[(String, String)], xml: &mut Xml) {
    xml.members("Tags", tags, |xml, (key, value)| {
        xml.put("Key", key).put("Value", value);
    });
}

fn simulate(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let source = params.required("PolicySourceArn")?;
    let name = source.rsplit('/').next().unwrap_or_default();
    let role = policy::role(world, name)
        .filter(|role| role_arn(world, &role.name) == source)
        .ok_or_else(|| missing(&format!("The principal {source} cannot be found.")))?;
    let actions = params.members("ActionNames");
    if actions.is_empty() {
        return Err(Problem::new("InvalidInput", "At least one action must be given."));
    }
    xml.put("IsTruncated", false);
    xml.members("EvaluationResults", &actions, |xml, action| {
        xml.put("EvalActionName", action)
            .put("EvalResourceName", "*")
            .put("EvalDecision", policy::decide(role, action).word());
        xml.members("MatchedStatements", [(); 0], |_, ()| {});
        xml.members("MissingContextValues", [(); 0], |_, ()| {});
    });
    Ok(())
}

fn attach(world: &mut World, params: &Params) -> Outcome {
    let policy = params.required("PolicyArn")?;
    let name = policy
        .strip_prefix("arn:aws:iam::aws:policy/")
        .ok_or_else(|| missing(&format!("Policy {policy} does not exist or is not attachable.")))?
        .to_owned();
    let role = role_of(world, params)?.name.clone();
    if let Some(role) = world.roles.iter_mut().find(|known| known.name == role)
        && !role.attached.contains(&name)
    {
        role.attached.push(name);
    }
    Ok(())
}
