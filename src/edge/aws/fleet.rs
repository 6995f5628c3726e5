//! The batched lists of a Region: one paged call each, whatever the number of instances.
//!
//! Paged calls without filters draw on the larger request budget (EC2 developer guide, "Request throttling").
//! Must not judge.

use super::client::{Aws, PROBE};
use super::{convert, error};
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::{Caller, Instance};
use crate::core::fleet::{RegionFacts, prefix_lists_of};
use crate::core::probe::ProbeId;
use tokio::sync::mpsc::UnboundedSender;

/// Collects all pages of a list, or says why there are none.
macro_rules! list {
    ($probe:expr, $region:expr, $call:expr, $size:expr, $items:ident, $convert:expr) => {
        PROBE.scope($probe, async {
            let doing = format!("{} in {}", $probe.title(), $region);
            let mut pages = $call.into_paginator().page_size($size).send();
            let mut out = Vec::new();
            while let Some(page) = pages.next().await {
                match page {
                    Ok(page) => out.extend(page.$items().iter().filter_map($convert)),
                    Err(e) => return error::fact(&e, $probe, &doing),
                }
            }
            Fact::known(out, format!("{} in {}", $probe.action().unwrap_or_default(), $region))
        })
    };
}

impl Aws {
    /// Everything that lists tell of a Region. `caller` is asked once for a profile, by whoever calls.
    pub(crate) async fn region_facts(&self, region: &str, caller: Fact<Caller>) -> RegionFacts {
        // Sizes: the largest that each call takes (EC2 and Systems Manager API references).
        let status = list!(
            ProbeId::Status,
            region,
            self.ec2(region).describe_instance_status().include_all_instances(true),
            1000,
            instance_statuses,
            |s| Some((s.instance_id()?.to_owned(), convert::status(s)))
        );
        let groups = list!(
            ProbeId::SecurityGroups,
            region,
            self.ec2(region).describe_security_groups(),
            1000,
            security_groups,
            |g| Some(convert::group(g, &[]))
        );
        let acls = list!(
            ProbeId::NetworkAcls,
            region,
            self.ec2(region).describe_network_acls(),
            1000,
            network_acls,
            |a| Some(convert::acl(a))
        );
        let route_tables =
            list!(ProbeId::RouteTables, region, self.ec2(region).describe_route_tables(), 100, route_tables, |t| Some(
                convert::route_table(t)
            ));
        let gateways = list!(
            ProbeId::InternetGateways,
            region,
            self.ec2(region).describe_internet_gateways(),
            1000,
            internet_gateways,
            |g| Some(convert::gateway(g))
        );
        let subnets = list!(ProbeId::Subnet, region, self.ec2(region).describe_subnets(), 1000, subnets, |s| Some(
            convert::subnet(s)
        ));
        let agents = list!(
            ProbeId::Ssm,
            region,
            self.ssm(region).describe_instance_information(),
            50,
            instance_information_list,
            |a| Some((a.instance_id()?.to_owned(), convert::ssm_agent(a)))
        );
        let endpoints = list!(
            ProbeId::ConnectEndpoints,
            region,
            self.ec2(region).describe_instance_connect_endpoints(),
            50,
            instance_connect_endpoints,
            |e| Some((convert::text(e.vpc_id())?, convert::connect_endpoint(e),))
        );
        let network = async { tokio::join!(status, groups, acls, route_tables, gateways) };
        let doors = async { tokio::join!(subnets, agents, endpoints) };
        // Boxed: each holds the state of several SDK calls.
        let ((status, groups, acls, route_tables, gateways), (subnets, agents, connect_endpoints)) =
            tokio::join!(Box::pin(network), Box::pin(doors));
        let lists = prefix_lists_of(&groups, &route_tables);
        let prefix_lists = if lists.is_empty() {
            Fact::NotAsked
        } else {
            let doing = format!("{} in {region}", ProbeId::PrefixLists.title());
            PROBE.scope(ProbeId::PrefixLists, self.prefix_list_entries(region, lists, doing)).await
        };
        RegionFacts {
            caller,
            status: status.map(|all: Vec<_>| all.into_iter().collect()),
            groups,
            acls,
            route_tables,
            internet_gateways: gateways,
            subnets,
            prefix_lists,
            agents: agents.map(|all: Vec<_>| all.into_iter().collect()),
            connect_endpoints,
        }
    }

    /// The instances of a Region, page by page.
    pub(crate) async fn instance_pages(&self, region: &str, out: &UnboundedSender<Vec<Instance>>) -> Result<(), Why> {
        let mut pages = self.ec2(region).describe_instances().into_paginator().page_size(1000).send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::why(&e, "ec2:DescribeInstances", "list instances"))?;
            let instances = page
                .reservations()
                .iter()
                .flat_map(aws_sdk_ec2::types::Reservation::instances)
                .map(|i| convert::instance(i, region));
            if out.send(instances.collect()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Regions that are switched on in the account.
    pub(crate) async fn enabled_regions(&self) -> Result<Vec<String>, Why> {
        let first = self.regions().first().cloned().unwrap_or_else(|| "us-east-1".to_owned());
        let doing = "list the Regions of the account";
        match self.ec2(&first).describe_regions().send().await {
            Ok(answer) => {
                let mut all: Vec<String> =
                    answer.regions().iter().filter_map(|r| convert::text(r.region_name())).collect();
                all.sort();
                Ok(all)
            }
            Err(e) => Err(error::why(&e, "ec2:DescribeRegions", doing)),
        }
    }
}
