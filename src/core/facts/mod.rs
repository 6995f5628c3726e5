//! Everything that one diagnosis knows.
//!
//! The probes fill it in, the checks and rules read it. It serialises whole, so that a diagnosis
//! can be recorded and replayed. It holds no secrets: no private key material, no passphrases.

pub mod aws;
pub mod doors;
pub mod host;
pub mod inside;
pub mod local;
pub mod own_files;
pub mod prepared;
pub mod wire;

use crate::core::fact::Fact;
use crate::core::recognise::Recognised;
use crate::core::target::{SSH_PORT, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// All facts of one diagnosis.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    /// What was asked for.
    pub target: Target,
    /// What the user saw, if told: a symptom id.
    pub symptom: Option<String>,
    /// The pasted text, recognised.
    pub paste: Option<Recognised>,
    /// The client side.
    pub local: local::LocalFacts,
    /// TCP and SSH from here.
    pub wire: wire::WireFacts,
    /// What AWS tells.
    pub aws: aws::AwsFacts,
    /// What AWS tells about the machine itself.
    #[serde(default)]
    pub host: host::HostFacts,
    /// What decides about the other doors.
    #[serde(default)]
    pub doors: doors::DoorFacts,
    /// Whether the user agreed to a look inside (`--inside`): a session, a read-only script.
    #[serde(default)]
    pub inside_agreed: bool,
    /// What a look inside the operating system tells.
    #[serde(default)]
    pub inside: Fact<inside::Inside>,
    /// The user's answers to questions of the tree, by question id.
    pub answers: BTreeMap<String, String>,
    /// Probes that still run: what they may contradict is not called proven yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<crate::core::probe::ProbeId>,
    /// What a plan needs to know beyond the diagnosis. Not recorded: it is read again when a plan is asked for.
    #[serde(skip)]
    pub prepared: prepared::Prepared,
    /// When the run began, in seconds since 1970. Facts carry no clock of their own.
    pub now: i64,
}

impl Facts {
    /// The instance, if one was found.
    pub fn instance(&self) -> Option<&aws::Instance> {
        self.aws.instance.value()
    }

    /// Account of the caller.
    pub fn account(&self) -> Option<String> {
        self.aws.caller.value().map(|c| c.account.clone())
    }

    /// Partition of the caller, as its ARN names it (`aws`, `aws-cn`, …); `aws` where the caller is not known.
    pub fn partition(&self) -> &str {
        let arn = self.aws.caller.value().map(|c| c.arn.as_str()).unwrap_or_default();
        arn.split(':').nth(1).filter(|p| !p.is_empty()).unwrap_or("aws")
    }

    /// Whether the instance runs Windows, as `Platform` of DescribeInstances says.
    pub fn is_windows(&self) -> bool {
        self.instance().is_some_and(|i| i.platform.as_deref() == Some("windows"))
    }

    /// The port in question: given; 3389 when Remote Desktop to a Windows instance is asked about; from ssh_config, or 22.
    pub fn port(&self) -> u16 {
        if self.target.port.is_none() && self.is_windows() && self.symptom() == Some("rdp_error") {
            return crate::core::target::RDP_PORT;
        }
        self.target.port.or_else(|| self.local.config.value().and_then(|c| c.port)).unwrap_or(SSH_PORT)
    }

    /// The user that the login uses and who said so; `None` when nobody did.
    pub fn user(&self) -> Option<&str> {
        self.target.user.as_deref().or_else(|| self.local.config.value().and_then(|c| c.user.as_deref()))
    }

    /// The address that the login goes to, in this order: given, named, resolved, the instance's public one.
    pub fn address(&self) -> Option<IpAddr> {
        if let Some(address) = self.target.address {
            return Some(address);
        }
        if let crate::core::target::TargetKind::Address(address) = self.target.kind() {
            return Some(address);
        }
        if let Some(address) =
            self.local.config.value().and_then(|c| c.hostname.as_deref()).and_then(|h| h.parse().ok())
        {
            return Some(address);
        }
        // A Name tag that happens to resolve somewhere means the instance, not the stranger; but where ssh_config has a
        // HostName for it, ssh goes to what that one resolves to.
        if let Some(address) = self
            .instance()
            .filter(|i| i.name.as_deref() == Some(&self.target.name) && !self.has_host_name())
            .and_then(aws::Instance::best_address)
        {
            return Some(address);
        }
        if let Some(address) = self.local.dns.value().and_then(|found| found.first()) {
            return Some(*address);
        }
        self.instance().and_then(aws::Instance::best_address)
    }

    /// Whether ssh_config has another name for the target, which the resolver has to be asked for.
    pub fn has_host_name(&self) -> bool {
        let named = self.local.config.value().and_then(|c| c.hostname.as_deref());
        named.is_some_and(|h| h != self.target.name && h.parse::<IpAddr>().is_err())
    }

    /// Whether the address that was dialled is one of the instance's.
    pub fn dialled_own_address(&self) -> bool {
        self.instance().is_some_and(|i| self.wire.address.is_some_and(|a| i.addresses().contains(&a)))
    }

    /// Whether `--address` sends the probe to an address that is none of the instance's.
    pub fn probes_elsewhere(&self) -> bool {
        self.instance().is_some_and(|i| self.target.address.is_some_and(|a| !i.addresses().contains(&a)))
    }

    /// The client's address as the instance sees it: given, or found out.
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.target.source_ip.or_else(|| self.local.source_ip.value().copied())
    }

    /// Whether the SSM agent is known to be online.
    pub fn agent_is_online(&self) -> bool {
        self.aws.ssm.value().and_then(Option::as_ref).is_some_and(|agent| agent.ping == "Online")
    }

    /// The symptom to start from: told, or recognised in the paste.
    pub fn symptom(&self) -> Option<&str> {
        self.symptom.as_deref().or_else(|| self.paste.as_ref().map(|p| p.symptom.as_str()))
    }
}
