//! The instance list: every page of every region, streamed; then hints from a few batched calls.

use super::client::Aws;
use super::{convert, error};
use crate::core::facts::aws::Instance;
use crate::core::vpc::types::{SecurityGroup, SgPeer};
use crate::engine::failure::Failure;
use crate::engine::inventory::InventoryEvent;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::IpAddr;
use tokio::sync::mpsc::UnboundedSender;

impl Aws {
    /// Lists all regions at once. Hints use `source`, the client's address, when it is known.
    pub async fn list(&self, source: Option<IpAddr>, out: &UnboundedSender<InventoryEvent>) {
        if self.regions().is_empty() {
            let failure = Failure::usage(
                "list instances",
                "no region is chosen",
                "pass --region, or set one for the profile (aws configure)",
            );
            let _ = out.send(InventoryEvent::Failed(failure));
            return;
        }
        let caller = async {
            if let Some(caller) = self.caller().await.value() {
                let _ = out
                    .send(InventoryEvent::Caller { account: caller.account.clone(), regions: self.regions().to_vec() });
            }
        };
        let regions = join_all(self.regions().iter().map(|region| self.list_region(region, source, out)));
        tokio::join!(caller, regions);
    }

    async fn list_region(&self, region: &str, source: Option<IpAddr>, out: &UnboundedSender<InventoryEvent>) {
        let client = self.ec2(region);
        // Paged calls draw on a larger request budget than unpaged ones (EC2 API throttling).
        let mut pages = client.describe_instances().into_paginator().page_size(1000).send();
        let mut running: Vec<Instance> = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    let rows: Vec<Instance> = page
                        .reservations()
                        .iter()
                        .flat_map(aws_sdk_ec2::types::Reservation::instances)
                        .map(|i| convert::instance(i, region))
                        .collect();
                    running.extend(rows.iter().filter(|i| i.state == "running").cloned());
                    if out.send(InventoryEvent::Page(rows)).is_err() {
                        return;
                    }
                }
                Err(e) => {
                    let why = error::why(&e, "ec2:DescribeInstances", "list instances");
                    let failure = Failure::failed(format!("list instances in {region}"), why.text(), next_step(&why));
                    let _ = out.send(InventoryEvent::Failed(failure));
                    return;
                }
            }
        }
        self.hints(region, &running, source, out).await;
    }

    async fn hints(
        &self,
        region: &str,
        running: &[Instance],
        source: Option<IpAddr>,
        out: &UnboundedSender<InventoryEvent>,
    ) {
        if running.is_empty() {
            return;
        }
        let client = self.ec2(region);
        let groups = async {
            // All groups of the region, by pages: a filter on ids would have to be cut into calls of 200.
            let mut pages = client.describe_security_groups().into_paginator().page_size(1000).send();
            let mut out: Vec<SecurityGroup> = Vec::new();
            while let Some(Ok(page)) = pages.next().await {
                out.extend(page.security_groups().iter().map(|g| convert::group(g, &[])));
            }
            out
        };
        let agents = async {
            let ssm = self.ssm(region);
            let mut pages = ssm.describe_instance_information().into_paginator().page_size(50).send();
            let mut known: HashMap<String, String> = HashMap::new();
            while let Some(page) = pages.next().await {
                // Half a list would call agents missing that are not.
                let Ok(page) = page else { return (known, false) };
                known.extend(page.instance_information_list().iter().filter_map(|i| {
                    let state = match i.ping_status()?.as_str() {
                        "ConnectionLost" => "lost".to_owned(),
                        other => other.to_ascii_lowercase(),
                    };
                    Some((i.instance_id()?.to_owned(), state))
                }));
            }
            (known, true)
        };
        let (groups, (known, whole)) = tokio::join!(groups, agents);
        if whole {
            let state = |i: &Instance| known.get(&i.id).map_or_else(|| "none".to_owned(), Clone::clone);
            let _ = out.send(InventoryEvent::Agents(running.iter().map(|i| (i.id.clone(), state(i))).collect()));
        }
        let hints =
            running.iter().filter_map(|i| hint(i, &groups, &known, source).map(|h| (i.id.clone(), h))).collect();
        let _ = out.send(InventoryEvent::Hints(hints));
    }
}

/// A word for the list, never a verdict: the diagnosis looks at far more.
fn hint(
    instance: &Instance,
    groups: &[SecurityGroup],
    agents: &HashMap<String, String>,
    source: Option<IpAddr>,
) -> Option<String> {
    let ssm = agents.get(&instance.id).is_some_and(|state| state == "online");
    let with = |word: &str| if ssm { format!("{word}, ssm") } else { word.to_owned() };
    if instance.platform.as_deref() == Some("windows") {
        return Some(with("rdp"));
    }
    if instance.best_address().is_none() {
        return Some(if ssm { "ssm".to_owned() } else { "private".to_owned() });
    }
    let mine: Vec<&SecurityGroup> =
        groups.iter().filter(|g| instance.groups.iter().any(|(id, _)| *id == g.id)).collect();
    if mine.is_empty() {
        return ssm.then(|| "ssm".to_owned());
    }
    let covers_ssh = |r: &crate::core::vpc::types::SgRule| {
        let tcp = matches!(r.protocol.as_str(), "tcp" | "6");
        r.protocol == "-1" || (tcp && r.from_port.is_none_or(|p| p <= 22) && r.to_port.is_none_or(|p| p >= 22))
    };
    let admits = |r: &crate::core::vpc::types::SgRule| match &r.peer {
        SgPeer::Cidr(net) => source.is_none_or(|s| net.contains(&s)),
        // A list or a group may well admit the client; a hint does not expand it.
        SgPeer::PrefixList(_) | SgPeer::Group { .. } => true,
    };
    let open = mine.iter().flat_map(|g| &g.inbound).any(|r| covers_ssh(r) && admits(r));
    Some(with(if open { "ssh" } else { "no sg rule" }))
}

fn next_step(why: &crate::core::fact::Why) -> String {
    use crate::core::fact::Why;
    match why {
        Why::Denied { action, .. } => format!("ask for {action} (port22 policy prints all that is needed); pasting an error and key-file checks work without"),
        Why::Credentials { .. } => "log in (aws sso login, aws configure), or choose --profile; pasting an error and key-file checks work without".to_owned(),
        _ => "check network, proxy and --region, then press r".to_owned(),
    }
}
