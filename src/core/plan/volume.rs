//! Deeds of a rescue of the root volume: a snapshot, a helper instance, the volume moved and moved back.
//!
//! Data only. Each says where things were seen when the plan was made, so that a volume that somebody else moved is
//! never taken from there.

use super::Action;
use serde::{Deserialize, Serialize};

/// One deed about volumes and helper instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum VolumeAction {
    /// `ec2:CreateSnapshot` of the volume as it is; gives `snapshot`.
    Snapshot {
        /// Region.
        region: String,
        /// `vol-…`.
        volume: String,
        /// `i-…` whose root it is, for the description.
        instance: String,
    },
    /// Waits until a snapshot is complete.
    AwaitSnapshot {
        /// Region.
        region: String,
        /// `snap-…`.
        snapshot: String,
        /// Longest wait, minutes.
        minutes: u64,
    },
    /// Takes a snapshot back by not taking it back: it is the only copy of the disk as it was. Says how to delete it.
    KeepSnapshot {
        /// Region.
        region: String,
        /// `snap-…`.
        snapshot: String,
    },
    /// `ec2:RunInstances` of a helper that terminates itself after some hours; gives `helper`.
    Launch(Helper),
    /// `ec2:TerminateInstances` of a helper of ours.
    Terminate {
        /// Region.
        region: String,
        /// `i-…` of the helper.
        helper: String,
    },
    /// Waits until a helper runs and its agent is online. Only then does it not boot from a volume attached to it.
    AwaitHelper {
        /// Region.
        region: String,
        /// `i-…` of the helper.
        helper: String,
        /// Longest wait, minutes.
        minutes: u64,
    },
    /// `ec2:StopInstances` or `ec2:StartInstances`, and wait until it is so.
    Power {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Whether it is to run.
        up: bool,
        /// Whether an undo does the opposite.
        back: bool,
    },
    /// `ec2:DetachVolume` and `ec2:AttachVolume`, as far as they are needed.
    Put(Put),
    /// The rescue script, run on the helper through Systems Manager.
    Repair(Repair),
    /// What a repair changed on the disk stays there; refused once the rescue has come to its end: the volume is back at
    /// its instance, and the helper gone.
    KeepRepair {
        /// Region.
        region: String,
        /// `i-…` of the helper.
        helper: String,
        /// `snap-…` with the disk as it was.
        snapshot: String,
        /// `vol-…` that was repaired; empty in entries of earlier versions.
        #[serde(default)]
        volume: String,
        /// `i-…` whose root it is; empty in entries of earlier versions.
        #[serde(default)]
        instance: String,
    },
}

/// A helper instance to launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helper {
    /// Region.
    pub region: String,
    /// `i-…` whose volume it is for: a tag.
    pub instance: String,
    /// `ami-…`.
    pub image: String,
    /// `t3.micro`, ….
    pub instance_type: String,
    /// Subnet, which decides the zone.
    pub subnet: String,
    /// Security groups.
    pub groups: Vec<String>,
    /// Whether it gets a public address; else as the subnet has it.
    pub public: bool,
    /// Name of the instance profile.
    pub profile: String,
}

/// An instance and a device name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// `i-…`.
    pub instance: String,
    /// `/dev/xvda`, ….
    pub device: String,
}

/// A volume to be at a place, or at none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Region.
    pub region: String,
    /// `vol-…`.
    pub volume: String,
    /// Where it is to be; nowhere (`available`) when absent.
    pub to: Option<Spot>,
    /// Instances that it may be taken from. Where another one has it, nothing is done.
    pub from: Vec<String>,
    /// `DeleteOnTermination` to set there: an attachment by hand has it off.
    pub delete_with: Option<bool>,
    /// An instance that is stopped first if it runs: it ran only for this repair.
    pub stop: Option<String>,
    /// The deed that takes it back; absent when a deed before it does.
    pub back: Option<Box<Put>>,
}

/// What the rescue script is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Region.
    pub region: String,
    /// `i-…` of the helper.
    pub helper: String,
    /// `vol-…`.
    pub volume: String,
    /// `snap-…` with the disk as it was.
    pub snapshot: String,
    /// `i-…` whose root it is; empty in entries of earlier versions.
    #[serde(default)]
    pub instance: String,
    /// What is repaired.
    pub job: RescueJob,
}

/// A repair of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case")]
pub enum RescueJob {
    /// Owner and rights of home, `.ssh` and `authorized_keys`, and a key.
    Login {
        /// Login user.
        user: String,
        /// Public key, `type base64`, to add where it is missing.
        key: Option<String>,
    },
    /// `nofail` for the mounts of `/etc/fstab` without which the system can boot.
    Fstab,
}

impl From<VolumeAction> for Action {
    fn from(action: VolumeAction) -> Self {
        Self::Volume(action)
    }
}
