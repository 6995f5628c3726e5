//! Finding the instance that a target names. One wave: all look-ups of a target run at once.

use super::client::Aws;
use super::{convert, error};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::target::TargetKind;
use aws_sdk_ec2::types::Filter;
use futures_util::future::join_all;
use std::net::IpAddr;

const ACTION: &str = "ec2:DescribeInstances";

/// What to ask for.
enum Query {
    Id(String),
    Filters(Vec<(&'static str, String)>),
}

impl Aws {
    /// Finds the instance of the target in all chosen regions.
    pub async fn find(&self, facts: &Facts) -> Fact<Instance> {
        let regions = match &facts.target.region {
            Some(region) => vec![region.clone()],
            None => self.regions().to_vec(),
        };
        if regions.is_empty() {
            return Fact::unknown(Why::needs("a region: pass --region, or set one for the profile"));
        }
        let name = facts.target.name.clone();
        let alias =
            facts.local.config.value().filter(|c| c.matched).and_then(|c| c.hostname.clone()).filter(|h| *h != name);
        let kind = facts.target.kind();
        let answer = match kind {
            TargetKind::InstanceId => self.ask(&regions, &[Query::Id(name.clone())]).await,
            TargetKind::Address(address) => self.by_address(&regions, address).await,
            TargetKind::Ec2Dns => self.by_dns(&regions, &name).await,
            TargetKind::Name => {
                let by_tag = [Query::Filters(vec![("tag:Name", literal(&name))])];
                let tag = self.ask(&regions, &by_tag);
                let host = async {
                    match &alias {
                        Some(host) => self.by_host(&regions, host).await,
                        None if name.contains('.') => self.by_host(&regions, &name).await,
                        None => Ok(Vec::new()),
                    }
                };
                let (tag, host) = tokio::join!(tag, host);
                match tag {
                    // The address that ssh would dial is sharper than a tag that happens to be equal.
                    Ok(found) if found.is_empty() => host,
                    Ok(found) if alias.is_some() => host.map(|h| if h.is_empty() { found } else { h }),
                    other => other,
                }
            }
        };
        let source = format!("DescribeInstances {} in {}", name, regions.join(", "));
        match answer {
            Err(why) => Fact::unknown(why),
            Ok(found) => {
                one(found, &name, &regions, facts).map_or_else(Fact::unknown, |instance| Fact::known(instance, source))
            }
        }
    }

    /// The instance that an address belongs to, in the target's region or all chosen ones; not known when none or several have it.
    pub async fn owner_of(&self, address: IpAddr, region: Option<&str>) -> Fact<Instance> {
        let regions = region.map_or_else(|| self.regions().to_vec(), |region| vec![region.to_owned()]);
        let text = address.to_string();
        match self.by_address(&regions, address).await {
            Err(why) => Fact::unknown(why),
            Ok(found) => one(found, &text, &regions, &Facts::default()).map_or_else(Fact::unknown, |instance| {
                let source = format!("DescribeInstances {}", instance.id);
                Fact::known(instance, source)
            }),
        }
    }

    async fn by_host(&self, regions: &[String], host: &str) -> Result<Vec<Instance>, Why> {
        if crate::core::target::is_instance_id(host) {
            return self.ask(regions, &[Query::Id(host.to_owned())]).await;
        }
        if let Ok(address) = host.parse() {
            return self.by_address(regions, address).await;
        }
        let dns = self.by_dns(regions, host);
        let resolved = async {
            if self.is_emulated() {
                return Ok(Vec::new());
            }
            let found: Vec<IpAddr> =
                tokio::net::lookup_host((host, 22)).await.map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default();
            match found.first() {
                Some(address) => self.by_address(regions, *address).await,
                None => Ok(Vec::new()),
            }
        };
        let (dns, resolved) = tokio::join!(dns, resolved);
        dns.and_then(|found| if found.is_empty() { resolved } else { Ok(found) })
    }

    async fn by_dns(&self, regions: &[String], host: &str) -> Result<Vec<Instance>, Why> {
        let queries = [
            Query::Filters(vec![("dns-name", literal(host))]),
            Query::Filters(vec![("private-dns-name", literal(host))]),
        ];
        self.ask(regions, &queries).await
    }

    async fn by_address(&self, regions: &[String], address: IpAddr) -> Result<Vec<Instance>, Why> {
        let text = address.to_string();
        let queries = match address {
            IpAddr::V4(_) => vec![
                Query::Filters(vec![("ip-address", text.clone())]),
                Query::Filters(vec![("private-ip-address", text.clone())]),
            ],
            IpAddr::V6(_) => {
                vec![Query::Filters(vec![("network-interface.ipv6-addresses.ipv6-address", text.clone())])]
            }
        };
        // A second public address hangs on a secondary private one; the filters above know only the
        // primary. Asked at the same time: a call after the other would be one more wave.
        let second = [
            Query::Filters(vec![("network-interface.addresses.association.public-ip", text.clone())]),
            Query::Filters(vec![("network-interface.addresses.private-ip-address", text)]),
        ];
        let more = async {
            match address {
                IpAddr::V4(_) => self.ask(regions, &second).await,
                IpAddr::V6(_) => Ok(Vec::new()),
            }
        };
        let (found, more) = tokio::join!(self.ask(regions, &queries), more);
        let found = found?;
        if found.is_empty() { Ok(more.unwrap_or_default()) } else { Ok(found) }
    }

    /// Runs all queries in all regions at once. A "not found" is an empty answer; another error counts only when nothing was found.
    async fn ask(&self, regions: &[String], queries: &[Query]) -> Result<Vec<Instance>, Why> {
        let calls = regions.iter().flat_map(|region| queries.iter().map(move |query| self.pages(region, query)));
        let mut found: Vec<Instance> = Vec::new();
        let mut failed = None;
        for answer in join_all(calls).await {
            match answer {
                Ok(instances) => found.extend(instances),
                Err(why) => failed = Some(why),
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        match failed {
            Some(why) if found.is_empty() => Err(why),
            _ => Ok(found),
        }
    }

    async fn pages(&self, region: &str, query: &Query) -> Result<Vec<Instance>, Why> {
        let client = self.ec2(region);
        let call = client.describe_instances();
        let call = match query {
            Query::Id(id) => call.instance_ids(id),
            Query::Filters(filters) => filters
                .iter()
                .fold(call, |call, (name, value)| call.filters(Filter::builder().name(*name).values(value).build())),
        };
        let mut pages = call.into_paginator().send();
        let mut out = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => out.extend(
                    page.reservations()
                        .iter()
                        .flat_map(aws_sdk_ec2::types::Reservation::instances)
                        .map(|i| convert::instance(i, region)),
                ),
                Err(e) if matches!(error::code(&e), "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed") => {
                    return Ok(Vec::new());
                }
                Err(e) => return Err(error::why(&e, ACTION, &format!("find the instance in {region}"))),
            }
        }
        Ok(out)
    }
}

/// Filter values know the wildcards `*` and `?`; a name is meant literally.
fn literal(value: &str) -> String {
    value.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?")
}

fn one(found: Vec<Instance>, name: &str, regions: &[String], facts: &Facts) -> Result<Instance, Why> {
    // Terminated instances keep their tags for an hour.
    let gone = |i: &Instance| matches!(i.state.as_str(), "terminated" | "shutting-down");
    let live = found.iter().filter(|i| !gone(i)).count();
    let mut found: Vec<Instance> = found.into_iter().filter(|i| live == 0 || !gone(i)).collect();
    if found.len() > 1 {
        let matches = found
            .iter()
            .map(|i| {
                format!(
                    "{} {} {}",
                    i.id,
                    i.state,
                    i.best_address().or(i.private_ip).map_or_else(|| "no address".to_owned(), |a| a.to_string())
                )
            })
            .collect();
        return Err(Why::Ambiguous { what: name.to_owned(), matches });
    }
    found.pop().ok_or_else(|| {
        let account = facts.aws.caller.value().map(|c| format!(" of account {}", c.account)).unwrap_or_default();
        Why::NotFound { what: format!("instance '{name}' in {}{account}", crate::core::text::list(regions)) }
    })
}
