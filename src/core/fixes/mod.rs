//! Plans of fixes, built from facts. Pure: nothing here performs anything.

use crate::core::facts::Facts;
use crate::core::plan::{Choices, Plan};

pub mod acl;
pub mod eic_push;
pub mod eip_associate;
pub mod igw_attach;
pub mod instance_reboot;
pub mod instance_start;
pub mod instance_stop_start;
pub mod key_chmod;
pub mod key_convert;
pub mod key_pair;
pub mod known_hosts;
pub mod nacl_allow;
mod parts;
pub mod remote;
pub mod root_volume;
pub mod route_to_igw;
pub mod runbook;
pub mod sg_allow;
pub mod ssh_config;
pub mod ssm_role;
mod stop;
pub mod user_data_repair;
pub mod user_data_restore;

/// Builds the plan of one fix: from facts and from what the user chose. Fails with one sentence that says what is missing.
type Planner = fn(&Facts, &Choices) -> Result<Plan, String>;

/// Every fix that can be applied, by id.
const PLANNERS: &[(&str, Planner)] = &[
    ("key-chmod", key_chmod::plan),
    ("key-convert", key_convert::plan),
    ("key-pair-import", key_pair::plan),
    ("known-hosts-update", known_hosts::plan),
    ("root-volume-rescue", root_volume::plan),
    ("sg-allow-my-ip", sg_allow::plan),
    ("ssh-config-entry", ssh_config::plan),
    ("ssm-role-attach", ssm_role::plan),
    ("troubleshoot-ssh-runbook", runbook::plan),
    ("rdp-allow-my-ip", sg_allow::remote_desktop),
    ("icmp-allow-my-ip", sg_allow::ping),
    ("nacl-allow-my-ip", nacl_allow::plan),
    ("route-to-igw", route_to_igw::plan),
    ("igw-attach", igw_attach::plan),
    ("eip-associate", eip_associate::plan),
    ("instance-start", instance_start::plan),
    ("instance-reboot", instance_reboot::plan),
    ("instance-stop-start", instance_stop_start::plan),
    ("remote-repair-permissions", remote::permissions::plan),
    ("remote-sshd-repair", remote::sshd::plan),
    ("remote-add-key", remote::add_key::plan),
    ("eic-push-key", eic_push::plan),
    ("user-data-repair", user_data_repair::plan),
    ("user-data-restore", user_data_restore::plan),
];

/// Whether this version can apply a fix; else its words tell how to do it by hand.
pub fn applicable(fix: &str) -> bool {
    PLANNERS.iter().any(|(id, _)| *id == fix)
}

/// Ids of all fixes that can be applied.
pub fn all() -> impl Iterator<Item = &'static str> {
    PLANNERS.iter().map(|(id, _)| *id)
}

/// Builds the plan of a fix from facts; fails with one sentence that says what is missing.
pub fn plan(fix: &str, facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let found = PLANNERS.iter().find(|(id, _)| *id == fix);
    let (_, planner) = found.ok_or_else(|| {
        format!("{fix} cannot be applied by this version; port22 explain {fix} tells how to do it by hand")
    })?;
    let mut plan = planner(facts, choices)?;
    plan.login.get_or_insert_with(|| facts.target.clone());
    Ok(plan)
}

#[cfg(test)]
mod tests;
