//! What a case says of the machine and the doors besides SSH.

use super::{NOW, refused};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::doors::{ConnectEndpoint, Role, RolePolicies, SerialAccess, SessionProof, VpcEndpoint};
use crate::core::facts::host::{Automation, Machine, Metrics, Sample, SpotRequest, UserData, Volume, WindowsPassword};
use crate::core::rules::network::tests::case::sg_rule;
use crate::core::vpc::types::SecurityGroup;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Each field is left as not asked when a case does not name it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::core::rules::tests) struct More {
    /// `HYPERVISOR [burstable] [storage]`; `metal` for bare metal.
    machine: Option<String>,
    credit_mode: Option<String>,
    /// `cpu`, `credits`, `system`, `instance`, `memory`, `disk`: values five minutes apart, the last five minutes old.
    metrics: BTreeMap<String, Vec<f64>>,
    /// Minutes by which all numbers are older.
    stale: i64,
    /// `ID [KEY]`: encrypted when a key is named.
    volumes: Option<Vec<String>>,
    stop_protected: Option<bool>,
    /// Kind of user data.
    user_data: Option<String>,
    /// `KIND STATUS`.
    spot: Option<String>,
    /// `empty`, `opens`, `other-key`, `no-key`.
    windows: Option<String>,
    /// `DOCUMENT STATUS STEP MESSAGE`.
    automations: Option<Vec<String>>,
    connection: Option<String>,
    /// Role, or `off`.
    host_management: Option<String>,
    /// `ID SERVICE STATE GROUP [private-dns]`.
    endpoints: Option<Vec<String>>,
    /// Whether the instance has a profile.
    profile: bool,
    /// Name of the role, or `none`.
    role: Option<String>,
    /// `managed NAME`, `own NAME`, `inline JSON`, `simulated ACTION true|false`.
    policies: Option<Vec<String>>,
    /// `ID STATE SUBNET GROUP [ADDRESS|preserve] [: MESSAGE]`.
    tunnels: Option<Vec<String>>,
    /// Inbound rules of endpoints' groups.
    endpoint_in: BTreeMap<String, Vec<String>>,
    /// Outbound rules of endpoints' groups; everything when not named.
    endpoint_out: BTreeMap<String, Vec<String>>,
    /// Outbound rules of the instance's groups.
    out: BTreeMap<String, Vec<String>>,
    /// Names of the instance's groups.
    names: BTreeMap<String, String>,
    /// `on`, `off`, `off declarative-policy`.
    serial: Option<String>,
    /// `opened`, `denied REASON` or `failed REASON`.
    session: Option<String>,
    imds: Option<bool>,
    /// Volume at the root device, `none`, or `instance-store`.
    root: Option<String>,
    lifecycle: Option<String>,
    managed_by: Option<String>,
    hibernation: bool,
    tags: BTreeMap<String, String>,
    platform_version: Option<String>,
    /// Facts that are not known: name, and `denied REASON`, `throttled`, `clock`, `endpoint`.
    unknown: BTreeMap<String, String>,
}

fn samples(more: &More, name: &str) -> Vec<Sample> {
    let values = more.metrics.get(name).map(Vec::as_slice).unwrap_or_default();
    let age = |back: usize| NOW - 60 * more.stale - 300 * i64::try_from(back + 1).unwrap();
    values.iter().enumerate().map(|(n, value)| Sample { at: age(values.len() - 1 - n), value: *value }).collect()
}

fn known<T, U>(fact: &mut Fact<U>, said: Option<&T>, source: &str, read: impl Fn(&T) -> U) {
    if let Some(said) = said {
        *fact = Fact::known(read(said), source);
    }
}

fn endpoint(text: &str) -> VpcEndpoint {
    let words: Vec<&str> = text.split(' ').collect();
    VpcEndpoint {
        id: words[0].to_owned(),
        service: format!("com.amazonaws.eu-west-1.{}", words[1]),
        kind: "Interface".to_owned(),
        state: words[2].to_owned(),
        private_dns: words.get(4) == Some(&"private-dns"),
        subnets: vec!["subnet-a".to_owned()],
        groups: vec![words[3].to_owned()],
    }
}

fn tunnel(text: &str) -> ConnectEndpoint {
    let (text, message) = text.split_once(" : ").map_or((text, None), |(t, m)| (t, Some(m.to_owned())));
    let words: Vec<&str> = text.split(' ').collect();
    ConnectEndpoint {
        id: words[0].to_owned(),
        state: words[1].to_owned(),
        message,
        subnet: Some(words[2].to_owned()),
        addresses: words.get(4).and_then(|w| w.parse().ok()).into_iter().collect(),
        groups: vec![words[3].to_owned()],
        preserve_client_ip: words.get(4) == Some(&"preserve"),
        dns: None,
        fips_dns: None,
    }
}

fn automation(text: &str) -> Automation {
    let words: Vec<&str> = text.splitn(4, ' ').collect();
    Automation {
        id: "e-1".to_owned(),
        document: words[0].to_owned(),
        status: words[1].to_owned(),
        step: words.get(2).map(|w| (*w).to_owned()),
        message: words.get(3).map(|w| (*w).to_owned()),
    }
}

fn policies(texts: &Vec<String>) -> RolePolicies {
    let mut out = RolePolicies::default();
    for text in texts {
        let (kind, rest) = text.split_once(' ').unwrap();
        match kind {
            "managed" => out.attached.push((rest.to_owned(), format!("arn:aws:iam::aws:policy/{rest}"))),
            "own" => out.attached.push((rest.to_owned(), format!("arn:aws:iam::111122223333:policy/{rest}"))),
            "inline" => out.inline.push(("inline".to_owned(), rest.to_owned())),
            "simulated" => {
                let (action, answer) = rest.split_once(' ').unwrap();
                out.simulated.insert(action.to_owned(), answer == "true");
            }
            other => panic!("what is {other}?"),
        }
    }
    out
}

fn why(text: &str) -> Why {
    let (kind, reason) = text.split_once(' ').unwrap_or((text, ""));
    match kind {
        "denied" => Why::Denied { action: "ssm:GetServiceSetting".to_owned(), reason: reason.to_owned() },
        "throttled" => Why::Throttled { doing: "the call".to_owned(), code: "RequestLimitExceeded".to_owned() },
        "clock" => Why::Clock { ahead_s: 4000, reason: "SignatureDoesNotMatch".to_owned() },
        "endpoint" => Why::Endpoint { doing: "calling EC2".to_owned(), reason: "dns error".to_owned() },
        other => panic!("what is {other}?"),
    }
}

pub(super) fn apply(more: &More, facts: &mut Facts) {
    instance(more, facts);
    let host = &mut facts.host;
    known(&mut host.machine, more.machine.as_ref(), "DescribeInstanceTypes", |text| Machine {
        name: String::new(),
        hypervisor: text.split(' ').next().filter(|h| *h != "metal").map(str::to_owned),
        bare_metal: text.starts_with("metal"),
        burstable: text.contains("burstable"),
        instance_storage: text.contains("storage"),
    });
    known(&mut host.credit_mode, more.credit_mode.as_ref(), "DescribeInstanceCreditSpecifications", Clone::clone);
    if !more.metrics.is_empty() {
        let metrics = Metrics {
            cpu: samples(more, "cpu"),
            credits: samples(more, "credits"),
            system_failed: samples(more, "system"),
            instance_failed: samples(more, "instance"),
            memory: samples(more, "memory"),
            disk: samples(more, "disk"),
        };
        host.metrics = Fact::known(metrics, "GetMetricData");
    }
    known(&mut host.volumes, more.volumes.as_ref(), "DescribeVolumes", |all| {
        let volume = |text: &String| {
            let (id, key) = text.split_once(' ').map_or((text.as_str(), None), |(id, key)| (id, Some(key.to_owned())));
            Volume { id: id.to_owned(), encrypted: key.is_some(), kms_key: key, ..Volume::default() }
        };
        all.iter().map(volume).collect()
    });
    known(&mut host.stop_protected, more.stop_protected.as_ref(), "DescribeInstanceAttribute", Clone::clone);
    known(&mut host.user_data, more.user_data.as_ref(), "DescribeInstanceAttribute", |text| {
        let (kind, users) = text.split_once(" makes ").unwrap_or((text, ""));
        let makes_users = users.split_whitespace().map(str::to_owned).collect();
        Some(UserData { kind: kind.to_owned(), bytes: 100, makes_users, ..UserData::default() })
    });
    known(&mut host.spot, more.spot.as_ref(), "DescribeSpotInstanceRequests", |text| {
        let (kind, status) = text.split_once(' ').unwrap();
        let (kind, status) = (kind.to_owned(), status.to_owned());
        Some(SpotRequest { id: "sir-1".to_owned(), kind, status, message: "said by EC2".to_owned() })
    });
    known(&mut host.windows, more.windows.as_ref(), "GetPasswordData", |text| WindowsPassword {
        ready: text != "empty",
        opens: match text.as_str() {
            "opens" => Some(true),
            "other-key" => Some(false),
            _ => None,
        },
    });
    let runs = |all: &Vec<String>| all.iter().map(|t| automation(t)).collect();
    known(&mut host.automations, more.automations.as_ref(), "DescribeAutomationExecutions", runs);
    doors(more, facts);
    for (name, text) in &more.unknown {
        let why = why(text);
        match name.as_str() {
            "instance" => {
                facts.aws = crate::core::facts::aws::AwsFacts {
                    region: facts.aws.region.take(),
                    caller: Fact::unknown(why.clone()),
                    instance: Fact::unknown(why),
                    ..Default::default()
                };
            }
            "status" => facts.aws.status = Fact::unknown(why),
            "groups" => facts.aws.groups = Fact::unknown(why),
            "host_management" => facts.doors.host_management = Fact::unknown(why),
            "endpoints" => facts.doors.endpoints = Fact::unknown(why),
            other => panic!("what is {other}?"),
        }
    }
}

fn instance(more: &More, facts: &mut Facts) {
    if let Fact::Known { value, .. } = &mut facts.aws.instance {
        value.imds_enabled = more.imds;
        value.tags.clone_from(&more.tags);
        value.lifecycle.clone_from(&more.lifecycle);
        value.managed_by.clone_from(&more.managed_by);
        value.hibernation = more.hibernation;
        value.profile_arn = more.profile.then(|| "arn:aws:iam::111122223333:instance-profile/web".to_owned());
        if let Some(root) = &more.root {
            let kind = if root == "instance-store" { "instance-store" } else { "ebs" };
            value.root_device_type = Some(kind.to_owned());
            value.root_device_name = Some("/dev/xvda".to_owned());
            value.root_volume = Some(root.clone()).filter(|r| r.starts_with("vol-"));
        }
    }
    if let Fact::Known { value: groups, .. } = &mut facts.aws.groups {
        for group in groups {
            if let Some(rules) = more.out.get(&group.id) {
                group.outbound = rules.iter().map(|text| sg_rule(&group.id, 0, text)).collect();
            }
            if let Some(name) = more.names.get(&group.id) {
                group.name.clone_from(name);
            }
        }
    }
    if let Fact::Known { value: Some(agent), .. } = &mut facts.aws.ssm {
        agent.platform_name = more.platform_version.as_ref().map(|_| "Ubuntu".to_owned());
        agent.platform_version.clone_from(&more.platform_version);
    }
}

fn doors(more: &More, facts: &mut Facts) {
    let doors = &mut facts.doors;
    known(&mut doors.connection, more.connection.as_ref(), "GetConnectionStatus", Clone::clone);
    known(&mut doors.host_management, more.host_management.as_ref(), "GetServiceSetting", |role| {
        Some(role.clone()).filter(|r| r != "off")
    });
    known(&mut doors.endpoints, more.endpoints.as_ref(), "DescribeVpcEndpoints", |all| {
        all.iter().map(|t| endpoint(t)).collect()
    });
    known(&mut doors.role, more.role.as_ref(), "GetInstanceProfile", |name| {
        Some(Role { name: name.clone(), ..Role::default() }).filter(|r| r.name != "none")
    });
    known(&mut doors.policies, more.policies.as_ref(), "SimulatePrincipalPolicy", policies);
    known(&mut doors.connect_endpoints, more.tunnels.as_ref(), "DescribeInstanceConnectEndpoints", |all| {
        all.iter().map(|t| tunnel(t)).collect()
    });
    let rules = |id: &String, texts: &Vec<String>| texts.iter().map(|t| sg_rule(id, 0, t)).collect::<Vec<_>>();
    let everything = vec!["-1 all 0.0.0.0/0".to_owned()];
    let group = |(id, inbound): (&String, &Vec<String>)| SecurityGroup {
        id: id.clone(),
        inbound: rules(id, inbound),
        outbound: rules(id, more.endpoint_out.get(id).unwrap_or(&everything)),
        ..SecurityGroup::default()
    };
    if !more.endpoint_in.is_empty() {
        doors.endpoint_groups = Fact::known(more.endpoint_in.iter().map(group).collect(), "DescribeSecurityGroups");
    }
    known(&mut doors.serial, more.serial.as_ref(), "GetSerialConsoleAccessStatus", |text| SerialAccess {
        enabled: text == "on",
        managed_by: text.split(' ').nth(1).map(str::to_owned),
    });
    match more.session.as_deref().map(|s| s.split_once(' ').unwrap_or((s, ""))) {
        None => {}
        Some(("denied", reason)) => {
            doors.session = refused("ssm:StartSession");
            if let Fact::Unknown { why: Why::Denied { reason: said, .. } } = &mut doors.session {
                reason.clone_into(said);
            }
        }
        Some(("failed", reason)) => doors.session = Fact::unknown(Why::failed("opening a session", reason)),
        Some(_) => doors.session = Fact::known(SessionProof::default(), "StartSession"),
    }
}
