//! Entries of network ACLs: created at a free number, deleted when they still are the ones that were created.
//!
//! Must not touch an entry of anybody else.

use super::network::undo;
use crate::core::plan::{AclPass, NetworkAction};
use crate::edge::aws::client::Aws;
use crate::edge::aws::{convert, error};
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::operation::create_network_acl_entry::builders::CreateNetworkAclEntryFluentBuilder;
use aws_sdk_ec2::types::{NetworkAclEntry, PortRange, RuleAction};
use ipnet::IpNet;

/// TCP (IANA protocol numbers).
const TCP: &str = "6";

/// What stands at a number.
enum Standing {
    Nothing,
    Ours,
    Another(String),
}

impl Aws {
    pub(super) fn entry_call(&self, region: &str, acl: &str, entry: &AclPass) -> CreateNetworkAclEntryFluentBuilder {
        let ports = PortRange::builder().from(i32::from(entry.from_port)).to(i32::from(entry.to_port)).build();
        let call = self
            .ec2_once(region)
            .create_network_acl_entry()
            .network_acl_id(acl)
            .rule_number(entry.number)
            .egress(entry.egress)
            .protocol(TCP)
            .port_range(ports)
            .rule_action(RuleAction::Allow);
        match entry.cidr {
            IpNet::V4(net) => call.cidr_block(net.to_string()),
            IpNet::V6(net) => call.ipv6_cidr_block(net.to_string()),
        }
    }

    async fn standing(&self, region: &str, acl: &str, entry: &AclPass) -> Result<Standing, Failure> {
        let doing = format!("read {acl} in {region}");
        let answer = self.ec2(region).describe_network_acls().network_acl_ids(acl).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeNetworkAcls", &doing))?;
        let entries = answer.network_acls().first().map(|a| a.entries().to_vec());
        let entries =
            entries.ok_or_else(|| Failure::failed(doing, "it is not in the answer", "run the diagnosis again"))?;
        let there = entries.iter().find(|e| e.rule_number() == Some(entry.number) && e.egress() == Some(entry.egress));
        Ok(match there {
            None => Standing::Nothing,
            Some(e) if same(e, entry) => Standing::Ours,
            Some(e) => Standing::Another(format!(
                "{} {} for {}",
                e.rule_action().map_or("", RuleAction::as_str),
                e.protocol().unwrap_or_default(),
                e.cidr_block().or(e.ipv6_cidr_block()).unwrap_or_default()
            )),
        })
    }

    pub(super) async fn create_entry(
        &self,
        region: &str,
        acl: &str,
        entry: &AclPass,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("add {} to {acl} in {region}", text(entry));
        match self.standing(region, acl, entry).await? {
            Standing::Ours => {
                return Ok(Performed { changed: step.again, ..done(region, acl, entry) });
            }
            Standing::Another(seen) => {
                let reason = format!("the number is taken now ({seen}): the ACL was changed after the plan was made");
                return Err(Failure::failed(doing, reason, "run the diagnosis again for a fresh plan"));
            }
            Standing::Nothing => {}
        }
        match self.entry_call(region, acl, entry).send().await {
            Ok(_) => Ok(done(region, acl, entry)),
            Err(e) => Err(error::failure(&e, "ec2:CreateNetworkAclEntry", &doing)),
        }
    }

    pub(super) async fn delete_entry(&self, region: &str, acl: &str, entry: &AclPass) -> Result<Performed, Failure> {
        let doing = format!("delete {} from {acl} in {region}", text(entry));
        match self.standing(region, acl, entry).await? {
            Standing::Nothing => {
                return Ok(Performed {
                    text: format!("{} is already gone from {acl}", text(entry)),
                    ..Performed::default()
                });
            }
            Standing::Another(seen) => {
                let reason = format!("another entry has the number now ({seen}): it is not ours");
                return Err(Failure::failed(doing, reason, "look at the network ACL in the console"));
            }
            Standing::Ours => {}
        }
        let call = self
            .ec2_once(region)
            .delete_network_acl_entry()
            .network_acl_id(acl)
            .rule_number(entry.number)
            .egress(entry.egress);
        match call.send().await {
            Ok(_) => Ok(Performed {
                text: format!("{} deleted from {acl}", text(entry)),
                changed: true,
                ..Performed::default()
            }),
            Err(e) => Err(error::failure(&e, "ec2:DeleteNetworkAclEntry", &doing)),
        }
    }

    /// What was done, if the entry is there.
    pub(super) async fn entry_done(
        &self,
        region: &str,
        acl: &str,
        entry: &AclPass,
    ) -> Result<Option<Performed>, Failure> {
        let standing = self.standing(region, acl, entry).await?;
        Ok(matches!(standing, Standing::Ours).then(|| done(region, acl, entry)))
    }
}

fn text(entry: &AclPass) -> String {
    let side = if entry.egress { "outbound" } else { "inbound" };
    format!("{side} entry {} for {}", entry.number, entry.cidr)
}

fn done(region: &str, acl: &str, entry: &AclPass) -> Performed {
    Performed {
        text: format!("{acl} has the {}", text(entry)),
        undo: Some(undo(NetworkAction::DeleteEntry {
            region: region.to_owned(),
            acl: acl.to_owned(),
            entry: entry.clone(),
        })),
        changed: true,
        ..Performed::default()
    }
}

fn same(seen: &NetworkAclEntry, wanted: &AclPass) -> bool {
    let net = convert::cidr(seen.cidr_block()).or_else(|| convert::cidr(seen.ipv6_cidr_block()));
    let ports = seen.port_range().map(|p| (p.from(), p.to()));
    seen.rule_action() == Some(&RuleAction::Allow)
        && matches!(seen.protocol(), Some("6" | "tcp"))
        && net == Some(wanted.cidr)
        && ports == Some((Some(i32::from(wanted.from_port)), Some(i32::from(wanted.to_port))))
}
