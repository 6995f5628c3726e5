//! The batched facts of one Region and account, cut into the facts of one instance.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{AwsFacts, Caller, Instance, InstanceStatus, SsmAgent, Subnet};
use crate::core::facts::doors::{ConnectEndpoint, DoorFacts};
use crate::core::probe::ProbeId;
use crate::core::vpc::types::{
    InternetGateway, NetworkAcl, RouteDestination, RouteTable, SecurityGroup, SgPeer, SgRule,
};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What AWS tells of one Region in lists, whatever the number of instances.
#[derive(Debug, Clone, Default)]
pub struct RegionFacts {
    /// Who is asking (`sts:GetCallerIdentity`).
    pub caller: Fact<Caller>,
    /// Status checks by instance id (`ec2:DescribeInstanceStatus`).
    pub status: Fact<BTreeMap<String, InstanceStatus>>,
    /// Security groups (`ec2:DescribeSecurityGroups`).
    pub groups: Fact<Vec<SecurityGroup>>,
    /// Network ACLs (`ec2:DescribeNetworkAcls`).
    pub acls: Fact<Vec<NetworkAcl>>,
    /// Route tables (`ec2:DescribeRouteTables`).
    pub route_tables: Fact<Vec<RouteTable>>,
    /// Internet gateways (`ec2:DescribeInternetGateways`).
    pub internet_gateways: Fact<Vec<InternetGateway>>,
    /// Subnets (`ec2:DescribeSubnets`).
    pub subnets: Fact<Vec<Subnet>>,
    /// Entries of the prefix lists that rules and routes name (`ec2:GetManagedPrefixListEntries`).
    pub prefix_lists: Fact<BTreeMap<String, Vec<IpNet>>>,
    /// SSM agents by instance id (`ssm:DescribeInstanceInformation`).
    pub agents: Fact<BTreeMap<String, SsmAgent>>,
    /// EC2 Instance Connect Endpoints with their VPC (`ec2:DescribeInstanceConnectEndpoints`).
    pub connect_endpoints: Fact<Vec<(String, ConnectEndpoint)>>,
}

/// Prefix lists that the rules and routes of a Region name.
pub fn prefix_lists_of(groups: &Fact<Vec<SecurityGroup>>, tables: &Fact<Vec<RouteTable>>) -> Vec<String> {
    let rules = groups.value().into_iter().flatten().flat_map(|g| &g.inbound).filter_map(|r| match &r.peer {
        SgPeer::PrefixList(id) if may_be_ssh(r) => Some(id),
        _ => None,
    });
    let routes = tables.value().into_iter().flatten().flat_map(|t| &t.routes).filter_map(|r| match &r.destination {
        RouteDestination::PrefixList(id) => Some(id),
        RouteDestination::Cidr(_) => None,
    });
    rules.chain(routes).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Whether a rule is about TCP at all: lists of other protocols need not be read.
fn may_be_ssh(rule: &SgRule) -> bool {
    matches!(rule.protocol.as_str(), "tcp" | "6" | "-1" | "all")
}

/// The lists of a Region, so arranged that the facts of one instance are found without a search through all of them.
#[derive(Debug, Default)]
pub struct Index {
    facts: RegionFacts,
    groups: HashMap<String, usize>,
    subnets: HashMap<String, usize>,
    /// Network ACL of a subnet.
    acls: HashMap<String, usize>,
    /// Route tables of a subnet.
    tables: HashMap<String, Vec<usize>>,
    /// Tables of a VPC that count for every subnet: the main one, and those of gateways.
    common_tables: HashMap<String, Vec<usize>>,
    gateways: HashMap<String, Vec<usize>>,
    endpoints: HashMap<String, Vec<usize>>,
}

fn by<T>(fact: &Fact<Vec<T>>, keys: impl Fn(&T) -> Vec<String>) -> HashMap<String, Vec<usize>> {
    let mut out: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, item) in fact.value().into_iter().flatten().enumerate() {
        for key in keys(item) {
            out.entry(key).or_default().push(at);
        }
    }
    out
}

fn first(all: HashMap<String, Vec<usize>>) -> HashMap<String, usize> {
    all.into_iter().filter_map(|(key, at)| Some((key, *at.first()?))).collect()
}

impl Index {
    /// Arranges the lists.
    pub fn new(facts: RegionFacts) -> Self {
        let common = |t: &RouteTable| t.main || !t.gateways.is_empty();
        Self {
            groups: first(by(&facts.groups, |g| vec![g.id.clone()])),
            subnets: first(by(&facts.subnets, |s| vec![s.id.clone()])),
            acls: first(by(&facts.acls, |a| a.subnets.clone())),
            tables: by(&facts.route_tables, |t| t.subnets.clone()),
            common_tables: by(&facts.route_tables, |t| t.vpc_id.clone().filter(|_| common(t)).into_iter().collect()),
            gateways: by(&facts.internet_gateways, |g| g.attached_to.iter().cloned().collect()),
            endpoints: by(&facts.connect_endpoints, |(vpc, _)| vec![vpc.clone()]),
            facts,
        }
    }

    /// Account of the caller.
    pub fn account(&self) -> Option<&str> {
        self.facts.caller.value().map(|c| c.account.as_str())
    }

    /// The agent of an instance, as far as it is known.
    pub fn agent(&self, id: &str) -> Option<&SsmAgent> {
        self.facts.agents.value()?.get(id)
    }

    /// Writes into the facts of a diagnosis what the lists tell of one instance.
    pub fn apply(&self, instance: &Instance, facts: &mut Facts) {
        let all = &self.facts;
        let vpc = instance.vpc_id.as_deref().unwrap_or_default();
        let mut subnets: Vec<&str> = instance.interfaces.iter().filter_map(|i| i.subnet_id.as_deref()).collect();
        subnets.extend(instance.subnet_id.as_deref());
        subnets.sort_unstable();
        subnets.dedup();
        let mut groups: Vec<&str> = instance.groups.iter().map(|(id, _)| id.as_str()).collect();
        groups.extend(instance.interfaces.iter().flat_map(|i| i.groups.iter().map(String::as_str)));
        groups.sort_unstable();
        groups.dedup();
        let mut tables: Vec<usize> = self.common_tables.get(vpc).into_iter().flatten().copied().collect();
        tables.extend(subnets.iter().filter_map(|s| self.tables.get(*s)).flatten());
        tables.sort_unstable();
        tables.dedup();
        let mut acls: Vec<usize> = subnets.iter().filter_map(|s| self.acls.get(*s).copied()).collect();
        acls.sort_unstable();
        acls.dedup();
        let gateways = self.gateways.get(vpc).map(Vec::as_slice).unwrap_or_default();
        let endpoints = self.endpoints.get(vpc).map(Vec::as_slice).unwrap_or_default();
        let endpoint_groups: BTreeSet<&String> = all
            .connect_endpoints
            .value()
            .into_iter()
            .flat_map(|list| endpoints.iter().filter_map(|at| list.get(*at)))
            .flat_map(|(_, endpoint)| &endpoint.groups)
            .collect();
        let named = |ids: &mut dyn Iterator<Item = &str>| {
            ids.filter_map(|id| self.groups.get(id).copied()).collect::<Vec<usize>>()
        };
        facts.aws = AwsFacts {
            region: Some(instance.region.clone()),
            caller: all.caller.clone(),
            instance: Fact::known(instance.clone(), format!("DescribeInstances {}", instance.id)),
            status: self.status(instance),
            interfaces: Fact::NotAsked,
            groups: if groups.is_empty() && all.groups.is_known() {
                Fact::unknown(Why::needs("security groups on the instance, and it has none"))
            } else {
                let source = format!("DescribeSecurityGroups {}", groups.join(" "));
                pick(&all.groups, &named(&mut groups.iter().copied()), source)
            },
            acls: pick(&all.acls, &acls, format!("DescribeNetworkAcls of {vpc}")),
            route_tables: pick(&all.route_tables, &tables, format!("DescribeRouteTables of {vpc}")),
            internet_gateways: pick(&all.internet_gateways, gateways, format!("DescribeInternetGateways of {vpc}")),
            subnet: self.subnet(instance),
            prefix_lists: all.prefix_lists.clone(),
            ssm: match &all.agents {
                Fact::Known { value, .. } => Fact::known(
                    value.get(&instance.id).cloned(),
                    format!("DescribeInstanceInformation in {}", instance.region),
                ),
                Fact::Unknown { why } => Fact::unknown(why.clone()),
                Fact::NotAsked => Fact::NotAsked,
            },
            ..AwsFacts::default()
        };
        facts.doors = DoorFacts {
            connect_endpoints: match &all.connect_endpoints {
                Fact::Known { value, .. } => Fact::known(
                    endpoints.iter().filter_map(|at| value.get(*at)).map(|(_, e)| e.clone()).collect(),
                    format!("DescribeInstanceConnectEndpoints of {vpc}"),
                ),
                Fact::Unknown { why } => Fact::unknown(why.clone()),
                Fact::NotAsked => Fact::NotAsked,
            },
            endpoint_groups: if endpoint_groups.is_empty() {
                Fact::NotAsked
            } else {
                let ids = named(&mut endpoint_groups.iter().map(|id| id.as_str()));
                pick(&all.groups, &ids, "DescribeSecurityGroups of the endpoints".to_owned())
            },
            ..DoorFacts::default()
        };
    }

    fn status(&self, instance: &Instance) -> Fact<InstanceStatus> {
        match &self.facts.status {
            Fact::Known { value, .. } => match value.get(&instance.id) {
                Some(status) => Fact::known(status.clone(), format!("DescribeInstanceStatus {}", instance.id)),
                None => Fact::unknown(Why::failed(
                    format!("{} of {}", ProbeId::Status.title(), instance.id),
                    "AWS has no status for the instance yet",
                )),
            },
            Fact::Unknown { why } => Fact::unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        }
    }

    fn subnet(&self, instance: &Instance) -> Fact<Subnet> {
        let Some(id) = instance.subnet_id.as_deref() else {
            return Fact::unknown(Why::needs("the subnet, and the instance has none any more"));
        };
        match &self.facts.subnets {
            Fact::Known { value, .. } => match self.subnets.get(id).and_then(|at| value.get(*at)) {
                Some(subnet) => Fact::known(subnet.clone(), format!("DescribeSubnets {id}")),
                None => Fact::unknown(Why::failed(format!("subnet {id}"), "it is not in the list of the Region")),
            },
            Fact::Unknown { why } => Fact::unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        }
    }
}

/// Some items of a list, under their own source.
fn pick<T: Clone>(fact: &Fact<Vec<T>>, places: &[usize], source: String) -> Fact<Vec<T>> {
    match fact {
        Fact::Known { value, .. } => {
            Fact::known(places.iter().filter_map(|at| value.get(*at)).cloned().collect(), source)
        }
        Fact::Unknown { why } => Fact::unknown(why.clone()),
        Fact::NotAsked => Fact::NotAsked,
    }
}
