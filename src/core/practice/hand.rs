//! How disruptive calls made by hand were: with the aws CLI, the console, or a program of one's own.
//!
//! Judges calls to the practice account after a lesson. Must not be used for a real account: there a plan says what it
//! will do before it does it.

use crate::core::plan::Risk;
use crate::core::practice::score::Weight;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A call that changed something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Call {
    /// Service and action, as in `ec2:StopInstances`.
    pub action: String,
    /// What was asked for, by the names of the wire.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Names of the instances that it is about.
    #[serde(default)]
    pub instances: Vec<String>,
}

/// Blocks that hold every address.
const WORLD: [&str; 2] = ["0.0.0.0/0", "::/0"];

impl Call {
    /// Whether it let the whole world in.
    pub fn opens_to_world(&self) -> bool {
        let lets_in = ["ec2:AuthorizeSecurityGroupIngress", "ec2:ModifySecurityGroupRules"];
        lets_in.contains(&self.action.as_str()) && self.parameters.values().any(|v| WORLD.contains(&v.as_str()))
    }

    fn weight(&self) -> Weight {
        let name = self.action.split_once(':').map_or(self.action.as_str(), |(_, name)| name);
        let weight = |risk, downtime, reversible| Weight { risk, downtime, reversible };
        match name {
            _ if self.opens_to_world() => weight(Risk::High, false, true),
            "RebootInstances" => weight(Risk::Medium, true, false),
            "StopInstances" | "TerminateInstances" => weight(Risk::High, true, false),
            "DetachVolume" | "CreateReplaceRootVolumeTask" => weight(Risk::High, true, true),
            "CreateRoute" | "ReplaceRoute" | "DeleteRoute" => weight(Risk::High, false, true),
            _ if name.starts_with("Delete") => weight(Risk::High, false, false),
            // What the repairs of their kind have in the catalogue.
            "AuthorizeSecurityGroupIngress" | "ModifySecurityGroupRules" => Weight::of_fix("sg-allow-my-ip"),
            "SendCommand" => weight(Risk::Low, false, true),
            "SendSSHPublicKey" => Weight::of_fix("eic-push-key"),
            "ImportKeyPair" | "CreateKeyPair" | "CreateTags" | "StartSession" | "TerminateSession"
            | "ResumeSession" => Weight::NONE,
            _ => weight(Risk::Medium, false, true),
        }
    }
}

/// How disruptive all of them were together; `None` without any.
pub fn weigh(calls: &[Call]) -> Option<Weight> {
    calls.iter().map(Call::weight).reduce(Weight::and)
}
