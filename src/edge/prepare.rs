//! What a plan needs to know beyond the diagnosis: read for that fix alone, before its plan is made.
//!
//! Must not change anything, and must not keep secrets.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::prepared::Prepared;
use crate::core::facts::prepared::net::NetFacts;
use crate::edge::aws::Aws;
use crate::edge::real_world::RealWorld;
use std::time::Duration;

/// Limit of all reading for one plan.
const LIMIT: Duration = Duration::from_secs(20);

/// Reads what the plan of a fix needs.
pub async fn prepare(world: &RealWorld, fix: &str, facts: &Facts) -> Prepared {
    let reading = read(world.aws(), fix, facts);
    tokio::time::timeout(LIMIT, reading).await.unwrap_or_else(|_| {
        let late = || Why::TimedOut { doing: format!("read what {fix} needs"), after_ms: 20_000 };
        Prepared { managing_profiles: Fact::unknown(late()), runbook: Fact::unknown(late()), ..Prepared::default() }
    })
}

async fn read(aws: &Aws, fix: &str, facts: &Facts) -> Prepared {
    let mut out = Prepared::default();
    let Some(instance) = facts.instance() else { return out };
    let region = instance.region.as_str();
    match fix {
        "ssm-role-attach" if instance.profile_arn.is_none() => {
            out.managing_profiles = aws.managing_profiles(&instance.region, facts).await;
        }
        "troubleshoot-ssh-runbook" => {
            out.runbook = aws.runbook(&instance.region, crate::core::fixes::runbook::DOCUMENT).await;
        }
        "igw-attach" => out.net = NetFacts { gateways: aws.all_gateways(region).await, ..NetFacts::default() },
        "eip-associate" => out.net.addresses = aws.elastic_addresses(region).await,
        "instance-reboot" => out.power = aws.power_facts(instance, facts).await,
        "instance-start" | "instance-stop-start" => {
            (out.power, out.net.addresses) =
                tokio::join!(aws.power_facts(instance, facts), aws.elastic_addresses(region));
        }
        _ => {}
    }
    out
}
