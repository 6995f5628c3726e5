//! From SDK types to facts. No calls, no judgement.

use crate::core::facts::aws::{
    Image, Instance, InstanceStatus, Interface, InterfaceAddress, KeyPair, SsmAgent, Subnet,
};
use crate::core::facts::doors::ConnectEndpoint;
use crate::core::facts::host::Volume;
use crate::core::recognise::strip_controls;
use crate::core::vpc::types::{
    AclEntry, InternetGateway, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup, SgPeer,
    SgRule,
};
use aws_sdk_ec2::types as ec2;
use ipnet::IpNet;
use std::net::IpAddr;

pub(super) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|v| !v.is_empty()).map(|v| strip_controls(v).replace('\n', " "))
}

fn ip(value: Option<&str>) -> Option<IpAddr> {
    value.and_then(|v| v.parse().ok())
}

fn name_tag(tags: &[ec2::Tag]) -> Option<String> {
    tags.iter().find(|t| t.key() == Some("Name")).and_then(|t| text(t.value()))
}

/// Reads a CIDR and clears its host bits, as EC2 itself does when a rule is made.
pub fn cidr(value: Option<&str>) -> Option<IpNet> {
    value.and_then(|v| v.parse::<IpNet>().ok()).map(|n| n.trunc())
}

pub fn instance(from: &ec2::Instance, region: &str) -> Instance {
    // The high byte of the code is internal and must be ignored (API: InstanceState).
    let state = match from.state().and_then(ec2::InstanceState::code).map(|c| c & 0xff) {
        Some(0) => "pending".to_owned(),
        Some(16) => "running".to_owned(),
        Some(32) => "shutting-down".to_owned(),
        Some(48) => "terminated".to_owned(),
        Some(64) => "stopping".to_owned(),
        Some(80) => "stopped".to_owned(),
        _ => from.state().and_then(|s| s.name()).map(|n| n.as_str().to_owned()).unwrap_or_default(),
    };
    let root = from.root_device_name();
    let root_attached = from
        .block_device_mappings()
        .iter()
        .find(|m| m.device_name() == root)
        .and_then(|m| m.ebs())
        .and_then(|e| e.attach_time())
        .map(aws_smithy_types::DateTime::secs);
    Instance {
        id: from.instance_id().unwrap_or_default().to_owned(),
        name: name_tag(from.tags()),
        region: region.to_owned(),
        state,
        state_reason: from.state_reason().and_then(|r| {
            r.code().filter(|c| !c.is_empty()).map(|c| format!("{c}: {}", r.message().unwrap_or_default()))
        }),
        transition_reason: text(from.state_transition_reason()),
        instance_type: from.instance_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        image_id: text(from.image_id()),
        key_name: text(from.key_name()),
        platform: from.platform().map(|p| p.as_str().to_ascii_lowercase()),
        platform_details: text(from.platform_details()),
        architecture: from.architecture().map(|a| a.as_str().to_owned()),
        private_ip: ip(from.private_ip_address()),
        public_ip: ip(from.public_ip_address()),
        public_dns: text(from.public_dns_name()),
        private_dns: text(from.private_dns_name()),
        zone: from.placement().and_then(|p| text(p.availability_zone())),
        vpc_id: text(from.vpc_id()),
        subnet_id: text(from.subnet_id()),
        interfaces: from.network_interfaces().iter().map(instance_interface).collect(),
        groups: from
            .security_groups()
            .iter()
            .filter_map(|g| Some((g.group_id()?.to_owned(), text(g.group_name()).unwrap_or_default())))
            .collect(),
        root_device_type: from.root_device_type().map(|t| t.as_str().to_owned()),
        root_device_name: text(root),
        root_attached,
        other_root: from
            .block_device_mappings()
            .iter()
            .filter_map(|m| m.device_name())
            .find(|name| Some(*name) != root && matches!(*name, "/dev/sda1" | "/dev/xvda" | "/dev/sda"))
            .map(str::to_owned),
        root_volume: from
            .block_device_mappings()
            .iter()
            .find(|m| m.device_name() == root)
            .and_then(|m| m.ebs())
            .and_then(|e| text(e.volume_id())),
        lifecycle: from.instance_lifecycle().map(|l| l.as_str().to_owned()),
        hibernation: from.hibernation_options().and_then(ec2::HibernationOptions::configured).unwrap_or(false),
        managed_by: from
            .operator()
            .filter(|o| o.managed().unwrap_or(false))
            .map(|o| text(o.principal()).unwrap_or_else(|| "an AWS service".to_owned())),
        launched: from.launch_time().map(aws_smithy_types::DateTime::secs),
        profile_arn: from.iam_instance_profile().and_then(|p| text(p.arn())),
        imds_enabled: from.metadata_options().and_then(|m| m.http_endpoint()).map(|e| e.as_str() == "enabled"),
        tags: from.tags().iter().filter_map(|t| Some((text(t.key())?, text(t.value()).unwrap_or_default()))).collect(),
    }
}

fn instance_interface(from: &ec2::InstanceNetworkInterface) -> Interface {
    let mut addresses: Vec<InterfaceAddress> = from
        .private_ip_addresses()
        .iter()
        .filter_map(|a| {
            Some(InterfaceAddress {
                private: ip(a.private_ip_address())?,
                public: a.association().and_then(|x| ip(x.public_ip())),
                primary: a.primary().unwrap_or(false),
            })
        })
        .collect();
    whole(&mut addresses, ip(from.private_ip_address()), from.association().and_then(|a| ip(a.public_ip())));
    Interface {
        id: from.network_interface_id().unwrap_or_default().to_owned(),
        device_index: from
            .attachment()
            .and_then(aws_sdk_ec2::types::InstanceNetworkInterfaceAttachment::device_index)
            .unwrap_or(0),
        subnet_id: text(from.subnet_id()),
        vpc_id: text(from.vpc_id()),
        addresses,
        ipv6: from.ipv6_addresses().iter().filter_map(|a| ip(a.ipv6_address())).collect(),
        groups: from.groups().iter().filter_map(|g| text(g.group_id())).collect(),
        managed: from.operator().and_then(aws_sdk_ec2::types::OperatorResponse::managed).unwrap_or(false),
    }
}

pub fn interface(from: &ec2::NetworkInterface) -> Interface {
    let mut addresses: Vec<InterfaceAddress> = from
        .private_ip_addresses()
        .iter()
        .filter_map(|a| {
            Some(InterfaceAddress {
                private: ip(a.private_ip_address())?,
                public: a.association().and_then(|x| ip(x.public_ip())),
                primary: a.primary().unwrap_or(false),
            })
        })
        .collect();
    whole(&mut addresses, ip(from.private_ip_address()), from.association().and_then(|a| ip(a.public_ip())));
    Interface {
        id: from.network_interface_id().unwrap_or_default().to_owned(),
        device_index: from
            .attachment()
            .and_then(aws_sdk_ec2::types::NetworkInterfaceAttachment::device_index)
            .unwrap_or(0),
        subnet_id: text(from.subnet_id()),
        vpc_id: text(from.vpc_id()),
        addresses,
        ipv6: from.ipv6_addresses().iter().filter_map(|a| ip(a.ipv6_address())).collect(),
        groups: from.groups().iter().filter_map(|g| text(g.group_id())).collect(),
        managed: from.requester_managed().unwrap_or(false),
    }
}

/// Adds what only the interface itself says: some answers list the public address there and not beside the private one.
fn whole(addresses: &mut Vec<InterfaceAddress>, private: Option<IpAddr>, public: Option<IpAddr>) {
    let Some(private) = private else { return };
    match addresses.iter_mut().find(|a| a.private == private) {
        Some(address) => address.public = address.public.or(public),
        None => addresses.push(InterfaceAddress { private, public, primary: true }),
    }
}

/// A volume, as attached to one instance.
pub fn volume(from: &ec2::Volume, instance: &str) -> Volume {
    Volume {
        id: from.volume_id().unwrap_or_default().to_owned(),
        device: from.attachments().iter().find(|a| a.instance_id() == Some(instance)).and_then(|a| text(a.device())),
        state: from.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        encrypted: from.encrypted().unwrap_or(false),
        kms_key: text(from.kms_key_id()),
        size: from.size(),
    }
}

pub fn status(from: &ec2::InstanceStatus) -> InstanceStatus {
    let word = |s: Option<&ec2::InstanceStatusSummary>| {
        s.and_then(|s| s.status()).map(|s| s.as_str().to_owned()).unwrap_or_default()
    };
    InstanceStatus {
        system: word(from.system_status()),
        instance: word(from.instance_status()),
        ebs: from.attached_ebs_status().and_then(|s| s.status()).map(|s| s.as_str().to_owned()),
        events: from
            .events()
            .iter()
            .map(|e| {
                (
                    e.code().map(|c| c.as_str().to_owned()).unwrap_or_default(),
                    text(e.description()).unwrap_or_default(),
                    e.not_before().map(aws_smithy_types::DateTime::secs),
                )
            })
            .collect(),
    }
}

/// A group; `ids` joins rule ids, which only DescribeSecurityGroupRules tells.
pub fn group(from: &ec2::SecurityGroup, ids: &[ec2::SecurityGroupRule]) -> SecurityGroup {
    let id = from.group_id().unwrap_or_default();
    let rules = |permissions: &[ec2::IpPermission], egress: bool| {
        let mut out = permissions.iter().flat_map(sg_rules).collect::<Vec<_>>();
        for rule in &mut out {
            rule.rule_id = ids
                .iter()
                .find(|r| r.group_id() == Some(id) && r.is_egress() == Some(egress) && same_rule(r, rule))
                .and_then(|r| text(r.security_group_rule_id()));
        }
        out
    };
    SecurityGroup {
        id: id.to_owned(),
        name: text(from.group_name()).unwrap_or_default(),
        vpc_id: text(from.vpc_id()),
        inbound: rules(from.ip_permissions(), false),
        outbound: rules(from.ip_permissions_egress(), true),
    }
}

fn sg_rules(from: &ec2::IpPermission) -> Vec<SgRule> {
    let rule = |peer: SgPeer, description: Option<&str>| SgRule {
        rule_id: None,
        protocol: from.ip_protocol().unwrap_or("-1").to_owned(),
        from_port: from.from_port(),
        to_port: from.to_port(),
        peer,
        description: text(description),
    };
    let v4 = from.ip_ranges().iter().filter_map(|r| Some(rule(SgPeer::Cidr(cidr(r.cidr_ip())?), r.description())));
    let v6 = from.ipv6_ranges().iter().filter_map(|r| Some(rule(SgPeer::Cidr(cidr(r.cidr_ipv6())?), r.description())));
    let lists = from
        .prefix_list_ids()
        .iter()
        .filter_map(|r| Some(rule(SgPeer::PrefixList(r.prefix_list_id()?.to_owned()), r.description())));
    let groups = from.user_id_group_pairs().iter().map(|p| {
        let peer = SgPeer::Group {
            id: p.group_id().unwrap_or_default().to_owned(),
            account: text(p.user_id()),
            stale: p.peering_status().is_some_and(|s| s == "deleted" || s == "rejected" || s == "expired"),
        };
        rule(peer, p.description())
    });
    v4.chain(v6).chain(lists).chain(groups).collect()
}

fn same_rule(from: &ec2::SecurityGroupRule, rule: &SgRule) -> bool {
    let port = |p: Option<i32>| p.filter(|p| *p != -1);
    let peer = match &rule.peer {
        SgPeer::Cidr(net) => cidr(from.cidr_ipv4()).or_else(|| cidr(from.cidr_ipv6())) == Some(*net),
        SgPeer::PrefixList(id) => from.prefix_list_id() == Some(id),
        SgPeer::Group { id, .. } => from.referenced_group_info().and_then(|g| g.group_id()) == Some(id),
    };
    peer && from.ip_protocol() == Some(&rule.protocol)
        && port(from.from_port()) == port(rule.from_port)
        && port(from.to_port()) == port(rule.to_port)
}

pub fn acl(from: &ec2::NetworkAcl) -> NetworkAcl {
    NetworkAcl {
        id: from.network_acl_id().unwrap_or_default().to_owned(),
        name: name_tag(from.tags()),
        vpc_id: text(from.vpc_id()),
        is_default: from.is_default().unwrap_or(false),
        subnets: from.associations().iter().filter_map(|a| text(a.subnet_id())).collect(),
        entries: from.entries().iter().filter_map(acl_entry).collect(),
    }
}

fn acl_entry(from: &ec2::NetworkAclEntry) -> Option<AclEntry> {
    let port = |p: Option<i32>| p.and_then(|p| u16::try_from(p).ok());
    Some(AclEntry {
        number: from.rule_number()?,
        egress: from.egress().unwrap_or(false),
        allow: from.rule_action().is_some_and(|a| a.as_str() == "allow"),
        protocol: from.protocol().unwrap_or("-1").to_owned(),
        cidr: cidr(from.cidr_block()).or_else(|| cidr(from.ipv6_cidr_block()))?,
        ports: from.port_range().and_then(|r| Some((port(r.from())?, port(r.to())?))),
        icmp: from.icmp_type_code().and_then(|i| Some((i.r#type()?, i.code().unwrap_or(-1)))),
    })
}

pub fn route_table(from: &ec2::RouteTable) -> RouteTable {
    let live = |a: &&ec2::RouteTableAssociation| {
        a.association_state().and_then(|s| s.state()).is_none_or(|s| s.as_str() == "associated")
    };
    RouteTable {
        id: from.route_table_id().unwrap_or_default().to_owned(),
        name: name_tag(from.tags()),
        vpc_id: text(from.vpc_id()),
        main: from.associations().iter().filter(live).any(|a| a.main() == Some(true)),
        subnets: from.associations().iter().filter(live).filter_map(|a| text(a.subnet_id())).collect(),
        gateways: from.associations().iter().filter(live).filter_map(|a| text(a.gateway_id())).collect(),
        routes: from.routes().iter().filter_map(route).collect(),
    }
}

fn route(from: &ec2::Route) -> Option<Route> {
    let net = cidr(from.destination_cidr_block()).or_else(|| cidr(from.destination_ipv6_cidr_block()));
    let destination = match net {
        Some(net) => RouteDestination::Cidr(net),
        None => RouteDestination::PrefixList(text(from.destination_prefix_list_id())?),
    };
    let target = if let Some(id) = text(from.gateway_id()) {
        match id.split('-').next() {
            Some("local") => RouteTarget::Local,
            Some("igw") => RouteTarget::InternetGateway(id),
            Some("vgw") => RouteTarget::VpnGateway(id),
            Some("vpce") => RouteTarget::Endpoint(id),
            _ => RouteTarget::Other(id),
        }
    } else if let Some(id) = text(from.egress_only_internet_gateway_id()) {
        RouteTarget::EgressOnlyGateway(id)
    } else if let Some(id) = text(from.nat_gateway_id()) {
        RouteTarget::Nat(id)
    } else if let Some(id) = text(from.transit_gateway_id()) {
        RouteTarget::TransitGateway(id)
    } else if let Some(id) = text(from.vpc_peering_connection_id()) {
        RouteTarget::Peering(id)
    } else if let Some(id) = text(from.network_interface_id()).or_else(|| text(from.instance_id())) {
        RouteTarget::Appliance(id)
    } else {
        let other = text(from.carrier_gateway_id())
            .or_else(|| text(from.local_gateway_id()))
            .or_else(|| text(from.core_network_arn()));
        RouteTarget::Other(other.unwrap_or_else(|| "a target that is not named".to_owned()))
    };
    Some(Route {
        destination,
        target,
        active: from.state().is_none_or(|s| s.as_str() == "active"),
        propagated: from.origin().is_some_and(|o| o.as_str() == "EnableVgwRoutePropagation"),
    })
}

pub fn gateway(from: &ec2::InternetGateway) -> InternetGateway {
    // "available" is not in the SDK's enum for this field, so the text is compared.
    let attached =
        from.attachments().iter().find(|a| a.state().is_none_or(|s| matches!(s.as_str(), "available" | "attached")));
    InternetGateway {
        id: from.internet_gateway_id().unwrap_or_default().to_owned(),
        attached_to: attached.and_then(|a| text(a.vpc_id())),
    }
}

pub fn subnet(from: &ec2::Subnet) -> Subnet {
    Subnet {
        id: from.subnet_id().unwrap_or_default().to_owned(),
        vpc_id: from.vpc_id().unwrap_or_default().to_owned(),
        zone: text(from.availability_zone()),
        cidr: cidr(from.cidr_block()),
        block_public_access: from
            .block_public_access_states()
            .and_then(|s| s.internet_gateway_block_mode())
            .map(|m| m.as_str().to_owned()),
    }
}

pub fn key_pair(from: &ec2::KeyPairInfo) -> KeyPair {
    KeyPair {
        name: from.key_name().unwrap_or_default().to_owned(),
        id: text(from.key_pair_id()),
        fingerprint: text(from.key_fingerprint()),
        key_type: from.key_type().map(|t| t.as_str().to_owned()),
        public_key: text(from.public_key()).map(|k| k.trim().to_owned()),
        created: from.create_time().map(aws_smithy_types::DateTime::secs),
    }
}

pub fn image(from: &ec2::Image) -> Image {
    Image {
        id: from.image_id().unwrap_or_default().to_owned(),
        name: text(from.name()),
        description: text(from.description()),
        owner_id: text(from.owner_id()),
        owner_alias: text(from.image_owner_alias()),
        location: text(from.image_location()),
        platform_details: text(from.platform_details()),
        source_image: text(from.source_image_id()),
        source_instance: text(from.source_instance_id()),
    }
}

pub fn ssm_agent(from: &aws_sdk_ssm::types::InstanceInformation) -> SsmAgent {
    SsmAgent {
        ping: from.ping_status().map(|p| p.as_str().to_owned()).unwrap_or_default(),
        last_ping: from.last_ping_date_time().map(aws_smithy_types::DateTime::secs),
        version: text(from.agent_version()),
        platform_name: text(from.platform_name()),
        platform_version: text(from.platform_version()),
    }
}

pub fn connect_endpoint(from: &ec2::Ec2InstanceConnectEndpoint) -> ConnectEndpoint {
    ConnectEndpoint {
        id: from.instance_connect_endpoint_id().unwrap_or_default().to_owned(),
        state: from.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        message: text(from.state_message()),
        subnet: text(from.subnet_id()),
        // Of its network interface, which another call tells.
        addresses: Vec::new(),
        groups: from.security_group_ids().to_vec(),
        preserve_client_ip: from.preserve_client_ip().unwrap_or(false),
        dns: text(from.dns_name()),
        fips_dns: text(from.fips_dns_name()),
    }
}
