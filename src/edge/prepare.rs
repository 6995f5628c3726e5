//! What a plan needs to know beyond the diagnosis: read for that fix alone, before its plan is made.
//!
//! Must not change anything, and must not keep secrets.

mod config;
mod hosts;
mod keys;
mod user_data;

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::prepared::Prepared;
use crate::core::facts::prepared::net::NetFacts;
use crate::core::rules::host_key::{self, Standing};
use crate::edge::real_world::RealWorld;
use std::time::Duration;

/// Limit of all reading for one plan.
const LIMIT: Duration = Duration::from_secs(20);

/// Reads what the plan of a fix needs.
pub async fn prepare(world: &RealWorld, fix: &str, facts: &Facts) -> Prepared {
    let reading = read(world, fix, facts);
    Box::pin(tokio::time::timeout(LIMIT, reading)).await.unwrap_or_else(|_| {
        let late = || Why::TimedOut { doing: format!("read what {fix} needs"), after_ms: 20_000 };
        Prepared {
            managing_profiles: Fact::unknown(late()),
            runbook: Fact::unknown(late()),
            keys: Fact::unknown(late()),
            host_key: Fact::unknown(late()),
            ssh_config: Fact::unknown(late()),
            key_pairs: Fact::unknown(late()),
            user_data: Fact::unknown(late()),
            rescue: Fact::unknown(late()),
            ..Prepared::default()
        }
    })
}

async fn read(world: &RealWorld, fix: &str, facts: &Facts) -> Prepared {
    let mut out = Prepared::default();
    let (aws, instance) = (world.aws(), facts.instance());
    match (fix, instance) {
        ("ssm-role-attach", Some(instance)) if instance.profile_arn.is_none() => {
            out.managing_profiles = aws.managing_profiles(&instance.region, facts).await;
        }
        ("troubleshoot-ssh-runbook", Some(instance)) => {
            out.runbook = aws.runbook(&instance.region, crate::core::fixes::runbook::DOCUMENT).await;
        }
        ("root-volume-rescue", Some(i)) => {
            (out.managing_profiles, out.rescue, out.power, out.net.addresses) = tokio::join!(
                aws.managing_profiles(&i.region, facts),
                aws.rescue_ground(i),
                Box::pin(aws.power_facts(i, facts)),
                aws.elastic_addresses(&i.region)
            );
        }
        ("igw-attach", Some(i)) => {
            let mapped = async {
                match &i.vpc_id {
                    Some(vpc) => aws.mapped_addresses(&i.region, vpc).await,
                    None => Fact::NotAsked,
                }
            };
            let (gateways, mapped) = tokio::join!(aws.all_gateways(&i.region), mapped);
            out.net = NetFacts { gateways, mapped, ..NetFacts::default() };
        }
        ("user-data-repair" | "user-data-restore", Some(i)) => {
            (out.user_data, out.power, out.net.addresses) = tokio::join!(
                user_data::read(world, i),
                Box::pin(aws.power_facts(i, facts)),
                aws.elastic_addresses(&i.region)
            );
        }
        ("eip-associate", Some(i)) => out.net.addresses = aws.elastic_addresses(&i.region).await,
        ("instance-reboot", Some(i)) => out.power = Box::pin(aws.power_facts(i, facts)).await,
        ("instance-start" | "instance-stop-start", Some(i)) => {
            (out.power, out.net.addresses) =
                tokio::join!(Box::pin(aws.power_facts(i, facts)), aws.elastic_addresses(&i.region));
        }
        ("key-convert", _) => out.keys = keys::read(facts).await,
        ("key-pair-import", _) => out.key_pairs = aws.key_pairs(facts).await,
        ("known-hosts-update", _) => out.host_key = hosts::read(facts, true).await,
        ("ssh-config-entry", _) => {
            // The key itself is needed where known_hosts does not have it.
            let ask = host_key::standing(facts).is_some_and(|(s, proof)| s != Standing::Known && proof.is_some());
            out.host_key = hosts::read(facts, ask).await;
            out.ssh_config = config::read(facts, world.profile());
        }
        #[cfg(windows)]
        ("key-chmod", _) => out.windows_user = windows_user(),
        _ => {}
    }
    out
}

/// `DOMAIN\user`, as `icacls` takes it.
#[cfg(windows)]
fn windows_user() -> Option<String> {
    let name = std::env::var("USERNAME").ok().filter(|n| !n.is_empty())?;
    Some(match std::env::var("USERDOMAIN").ok().filter(|d| !d.is_empty()) {
        Some(domain) => format!("{domain}\\{name}"),
        None => name,
    })
}
