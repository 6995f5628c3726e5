//! Plans of fixes, built from facts. Pure: nothing here performs anything.

use crate::core::facts::Facts;
use crate::core::plan::Plan;

pub mod key_chmod;
pub mod sg_allow;

/// Fix ids that this version can apply.
pub const APPLICABLE: &[&str] = &["key-chmod", "sg-allow-my-ip"];

/// Builds the plan of a fix from facts; fails with one sentence that says what is missing.
pub fn plan(fix: &str, facts: &Facts) -> Result<Plan, String> {
    match fix {
        "key-chmod" => key_chmod::plan(facts),
        "sg-allow-my-ip" => sg_allow::plan(facts),
        _ => Err(format!("{fix} cannot be applied by this version; port22 explain {fix} tells how to do it by hand")),
    }
}
