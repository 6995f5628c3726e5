//! What a plan needs to know beyond the diagnosis: read for that fix alone, before its plan is made.
//!
//! Must not change anything, and must not keep secrets.

use crate::core::facts::Facts;
use crate::core::facts::prepared::Prepared;
use crate::edge::real_world::RealWorld;

/// Reads what the plan of a fix needs.
pub async fn prepare(_world: &RealWorld, _fix: &str, _facts: &Facts) -> Prepared {
    Prepared::default()
}
