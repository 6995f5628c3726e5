//! Deeds, as data: the only things that `engine` may ask the world to change.
//!
//! Each says exactly what was seen when the plan was made, so that whoever performs it can refuse to overwrite what
//! somebody else changed since. Nothing here performs anything.

use super::access::AccessAction;
use super::network::NetworkAction;
use super::power::PowerAction;
use super::remote::RemoteAction;
use super::user_data::UserDataAction;
use super::volume::VolumeAction;
use super::{KeyPairAction, LocalAction};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What steps made, by name (`snapshot` → `snap-…`), for the steps after them.
pub type Outputs = BTreeMap<String, String>;

/// One deed, as data. The only things that `engine` may ask the world to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Sets the permission bits of a file, if they still are `from`.
    Chmod {
        /// File.
        path: String,
        /// Bits that were seen when the plan was made.
        from: u32,
        /// Bits to set.
        to: u32,
    },
    /// `ec2:AuthorizeSecurityGroupIngress`, one address.
    AuthorizeIngress {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `tcp` or `icmp`.
        protocol: String,
        /// First port.
        from_port: i32,
        /// Last port.
        to_port: i32,
        /// One `/32` or `/128`.
        cidr: IpNet,
        /// Description of the rule.
        description: String,
    },
    /// `ec2:RevokeSecurityGroupIngress` by rule id.
    RevokeIngress {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `sgr-…`.
        rule: String,
        /// What the rule allowed when it was added: its id stays when somebody changes it. `None` in journals of
        /// versions that did not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Allowed>,
    },
    /// Takes back an `AuthorizeIngress` of which nobody knows whether it was done: removes the rule that
    /// has exactly this address and these ports and carries our tag, if there is one.
    RevokeOwn {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `tcp` or `icmp`.
        protocol: String,
        /// First port.
        from_port: i32,
        /// Last port.
        to_port: i32,
        /// The address.
        cidr: IpNet,
    },
    /// `ec2:ModifySecurityGroupRules`: another address in the same rule.
    ModifyIngress {
        /// Region.
        region: String,
        /// `sg-…`.
        group: String,
        /// `sgr-…`.
        rule: String,
        /// `tcp`, `-1`, ….
        protocol: String,
        /// First port.
        from_port: i32,
        /// Last port.
        to_port: i32,
        /// Address that was seen when the plan was made.
        from: IpNet,
        /// Address to set.
        to: IpNet,
        /// Description that the rule keeps (the API drops it when it is not repeated).
        description: Option<String>,
    },
    /// `ec2:StartInstances`, and wait until it runs.
    StartInstance {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
    /// `ec2:StopInstances`, and wait until it is stopped.
    StopInstance {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
    /// Roles, profiles, runbooks.
    Access(AccessAction),
    /// A deed of the network.
    Network(NetworkAction),
    /// A deed of power.
    Power(PowerAction),
    /// A deed on a file of this machine.
    Local(LocalAction),
    /// A deed on an EC2 key pair.
    KeyPair(KeyPairAction),
    /// Something done inside the operating system.
    Remote(RemoteAction),
    /// A deed of the repair through user data.
    UserData(UserDataAction),
    /// Snapshots, helper instances, a root volume that is moved.
    Volume(VolumeAction),
}

/// What a rule of a security group lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// `tcp`, `icmp`, `-1`, …, as AWS tells it.
    pub protocol: String,
    /// First port.
    pub from_port: i32,
    /// Last port.
    pub to_port: i32,
    /// From where.
    pub cidr: IpNet,
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.protocol, self.from_port)?;
        if self.to_port != self.from_port {
            write!(f, "-{}", self.to_port)?;
        }
        write!(f, " from {}", self.cidr)
    }
}

impl From<KeyPairAction> for Action {
    fn from(action: KeyPairAction) -> Self {
        Self::KeyPair(action)
    }
}

impl From<LocalAction> for Action {
    fn from(action: LocalAction) -> Self {
        Self::Local(action)
    }
}

impl From<RemoteAction> for Action {
    fn from(action: RemoteAction) -> Self {
        Self::Remote(action)
    }
}

impl Action {
    /// Whether the operating system boots because of it.
    pub fn boots(&self) -> bool {
        matches!(
            self,
            Self::StartInstance { .. } | Self::Power(PowerAction::StartAgain { .. } | PowerAction::Reboot { .. })
        )
    }

    /// Whether it only starts or stops an instance, or makes room for that: done again it brings back what was so before.
    pub fn is_of_power(&self) -> bool {
        matches!(
            self,
            Self::StartInstance { .. }
                | Self::StopInstance { .. }
                | Self::Power(_)
                | Self::UserData(UserDataAction::Power { .. })
                | Self::Volume(VolumeAction::Power { .. })
        )
    }

    /// Whether it runs something inside the operating system: whoever agrees to it agrees to looks inside as well.
    pub fn runs_inside(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// The same deed with every `${name}` replaced by the output of that name. Fails with the name that no step made.
    pub fn with_outputs(&self, outputs: &Outputs) -> Result<Self, String> {
        let mut value = serde_json::to_value(self).map_err(|e| e.to_string())?;
        fill(&mut value, outputs)?;
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    /// The deed that takes this one back when nobody knows whether it was done. Each looks first, so
    /// that it changes nothing where there is nothing to take back. `None` where that cannot be told.
    pub fn reverse(&self) -> Option<Self> {
        match self {
            Self::Chmod { path, from, to } => Some(Self::Chmod { path: path.clone(), from: *to, to: *from }),
            Self::AuthorizeIngress { region, group, protocol, from_port, to_port, cidr, .. } => Some(Self::RevokeOwn {
                region: region.clone(),
                group: group.clone(),
                protocol: protocol.clone(),
                from_port: *from_port,
                to_port: *to_port,
                cidr: *cidr,
            }),
            Self::ModifyIngress { from, to, .. } => {
                let mut back = self.clone();
                if let Self::ModifyIngress { from: f, to: t, .. } = &mut back {
                    (*f, *t) = (*to, *from);
                }
                Some(back)
            }
            Self::RevokeIngress { .. }
            | Self::RevokeOwn { .. }
            | Self::StartInstance { .. }
            | Self::StopInstance { .. }
            | Self::Access(_)
            | Self::Network(_)
            | Self::Power(_)
            | Self::Local(_)
            | Self::KeyPair(_)
            // Looked at inside, where it was written down.
            | Self::Remote(_)
            | Self::UserData(_)
            | Self::Volume(_) => None,
        }
    }
}

/// Replaces `${name}` in every text of a value.
fn fill(value: &mut serde_json::Value, outputs: &Outputs) -> Result<(), String> {
    match value {
        serde_json::Value::String(text) => *text = filled(text, outputs)?,
        serde_json::Value::Array(all) => all.iter_mut().try_for_each(|v| fill(v, outputs))?,
        serde_json::Value::Object(all) => all.values_mut().try_for_each(|v| fill(v, outputs))?,
        _ => {}
    }
    Ok(())
}

/// A text with every `${name}` replaced by the output of that name; fails with a name that no step made. Anything else
/// that begins with `$` is left as it is.
pub fn filled(text: &str, outputs: &Outputs) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = from.find('}') else {
            rest = from;
            break;
        };
        let name = &from[2..end];
        out.push_str(outputs.get(name).ok_or_else(|| format!("no earlier step told its '{name}'"))?);
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_made_is_put_where_a_later_step_names_it() {
        let action = Action::StopInstance { region: "eu-west-1".to_owned(), instance: "${helper}".to_owned() };
        let outputs = Outputs::from([("helper".to_owned(), "i-0abc".to_owned())]);
        let filled = action.with_outputs(&outputs).unwrap();
        assert_eq!(filled, Action::StopInstance { region: "eu-west-1".to_owned(), instance: "i-0abc".to_owned() });
        assert_eq!(action.with_outputs(&Outputs::new()), Err("no earlier step told its 'helper'".to_owned()));
    }

    #[test]
    fn what_only_looks_like_a_name_stays() {
        let outputs = Outputs::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(filled("$a ${a} $${a} ${", &outputs).unwrap(), "$a 1 $1 ${");
    }
}
