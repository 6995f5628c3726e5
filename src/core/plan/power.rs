//! Deeds of power: reboot, hibernate, start again, and what must be out of the way of a stop.
//!
//! Nothing here performs anything.

use super::Action;
use serde::{Deserialize, Serialize};

/// A deed of power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum PowerAction {
    /// `ec2:RebootInstances`. Leaves nothing to take back.
    Reboot {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
    /// `ec2:StopInstances` with Hibernate, and wait until it is stopped.
    Hibernate {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
    /// Starts what an earlier step of the same plan stopped. Leaves nothing to take back: it ran before.
    StartAgain {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
    },
    /// `ec2:ModifyInstanceAttribute` of disableApiStop.
    StopProtection {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Whether the API may not stop it from now on.
        on: bool,
        /// Whether this brings back what an earlier step of the same plan changed.
        back: bool,
        /// Whether an undo of the whole plan takes this back first: it stops the instance once more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reopens: bool,
    },
    /// `autoscaling:EnterStandby`, and wait until it is so.
    EnterStandby {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Name of the Auto Scaling group.
        group: String,
    },
    /// `autoscaling:ExitStandby`, and wait until the instance serves again.
    ExitStandby {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Name of the Auto Scaling group.
        group: String,
        /// Whether an undo of the whole plan takes this back first: it stops the instance once more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reopens: bool,
    },
    /// `autoscaling:SuspendProcesses`, those that ran.
    SuspendProcesses {
        /// Region.
        region: String,
        /// Name of the Auto Scaling group.
        group: String,
        /// Names of processes, such as `ReplaceUnhealthy`.
        processes: Vec<String>,
    },
    /// `autoscaling:ResumeProcesses`.
    ResumeProcesses {
        /// Region.
        region: String,
        /// Name of the Auto Scaling group.
        group: String,
        /// Names of processes.
        processes: Vec<String>,
        /// Whether an undo of the whole plan takes this back first: it stops the instance once more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reopens: bool,
    },
}

impl From<PowerAction> for Action {
    fn from(action: PowerAction) -> Self {
        Self::Power(action)
    }
}
