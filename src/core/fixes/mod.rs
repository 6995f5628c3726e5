//! Plans of fixes, built from facts. Pure: nothing here performs anything.

use crate::core::facts::Facts;
use crate::core::plan::{Choices, Plan};

pub mod key_chmod;
pub mod runbook;
pub mod sg_allow;
pub mod ssm_role;

/// Builds the plan of one fix: from facts and from what the user chose. Fails with one sentence that says what is missing.
type Planner = fn(&Facts, &Choices) -> Result<Plan, String>;

/// Every fix that can be applied, by id.
const PLANNERS: &[(&str, Planner)] = &[
    ("key-chmod", key_chmod::plan),
    ("sg-allow-my-ip", sg_allow::plan),
    ("ssm-role-attach", ssm_role::plan),
    ("troubleshoot-ssh-runbook", runbook::plan),
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
    plan.login = Some(facts.target.clone());
    Ok(plan)
}
