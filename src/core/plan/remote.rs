//! Deeds inside the operating system of an instance, as data: which script, with which values, through which doors.
//!
//! Must not hold private keys or script text: keys are named by their files, scripts are made of a [`Job`] by
//! `core::inside::mend`.

use crate::core::jump::Hop;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A deed inside an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum RemoteAction {
    /// Runs a repair script as root. It looks first, writes down what it changes on the instance, and changes nothing
    /// that is right already.
    Run {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Ways in, the least disturbing first.
        doors: Vec<Door>,
        /// What to do.
        job: Job,
    },
    /// Puts back what a [`Self::Run`] wrote down.
    TakeBack {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Ways in, the least disturbing first.
        doors: Vec<Door>,
        /// Name of the record on the instance: the token of the step that made it.
        token: String,
    },
    /// Pushes a public key that is good for 60 seconds, and logs in with it (EC2 Instance Connect, SendSSHPublicKey).
    PushKey {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Login user.
        user: String,
        /// File of the private half; a key is made for this one login where there is none that can be used.
        key: Option<String>,
        /// Where to log in.
        dial: Dial,
    },
}

impl RemoteAction {
    /// The instance that it is about.
    pub fn instance(&self) -> &str {
        match self {
            Self::Run { instance, .. } | Self::TakeBack { instance, .. } | Self::PushKey { instance, .. } => instance,
        }
    }
}

impl RemoteAction {
    /// Paths of files that it names: private keys, and the configuration of a jump host.
    pub fn key_files_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Run { doors, .. } | Self::TakeBack { doors, .. } => {
                fn of(door: &mut Door) -> Vec<&mut String> {
                    match door {
                        Door::Login { key, dial, .. } => [key].into_iter().chain(dial.files_mut()).collect(),
                        Door::Push { dial, .. } => dial.files_mut().collect(),
                        Door::Agent => Vec::new(),
                    }
                }
                doors.iter_mut().flat_map(of).collect()
            }
            Self::PushKey { key, dial, .. } => key.iter_mut().chain(dial.files_mut()).collect(),
        }
    }
}

/// A way to run a script as root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "door", rename_all = "kebab-case")]
pub enum Door {
    /// Run Command of Systems Manager: the agent is online.
    Agent,
    /// A login over SSH that works, and sudo without a password.
    Login {
        /// User that is let in.
        user: String,
        /// File of the private key.
        key: String,
        /// Where to log in.
        dial: Dial,
    },
    /// A login with a key of 60 seconds (EC2 Instance Connect), and sudo without a password.
    Push {
        /// User that is let in.
        user: String,
        /// Where to log in.
        dial: Dial,
    },
}

/// Where to log in, and which host keys may be met there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Host keys that known_hosts has for it: algorithm and fingerprint. Another one of the same type ends the login.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<(String, String)>,
    /// Fingerprints of host keys that known_hosts marks as revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
    /// The jump hosts on the way; straight when absent. An undo goes the same way again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
}

impl Dial {
    /// Paths of files that the way names; `none` is no file.
    fn files_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let files = self.over.iter_mut().flat_map(|over| {
            let Over { hops, config_file, .. } = over;
            let of_hops = hops.iter_mut().flat_map(|hop| hop.keys.iter_mut().chain(&mut hop.config_file));
            of_hops.chain(config_file)
        });
        files.filter(|path| path.as_str() != "none")
    }
}

/// A way over jump hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// The jump hosts, the nearest first. Each is logged in to by its own Host block.
    pub hops: Vec<Hop>,
    /// What the last one is asked to connect to.
    pub host: String,
    /// The `-F` of the login, under which their Host blocks are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
}

impl Over {
    /// `-J` as ssh takes it.
    pub fn list(&self) -> String {
        self.hops.iter().map(|h| h.name.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// What a repair script is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case")]
pub enum Job {
    /// Owner and rights of the user's login files, as sshd asks for them.
    Permissions {
        /// Login user.
        user: String,
        /// The client's address as the instance sees it: settings of sshd may depend on it.
        address: Option<IpAddr>,
    },
    /// A public key in the file that sshd reads for the user.
    AddKey {
        /// Login user.
        user: String,
        /// The client's address as the instance sees it.
        address: Option<IpAddr>,
        /// `type base64 comment`.
        key: String,
        /// Base64 of the key that goes.
        replace: Option<String>,
    },
    /// sshd: configuration, host keys, directories, port, service.
    Sshd {
        /// Login user, where one is known.
        user: Option<String>,
        /// The client's address as the instance sees it.
        address: Option<IpAddr>,
        /// Port at which it must listen.
        port: u16,
        /// The instance's own address at which it must be reached.
        own: Option<IpAddr>,
        /// Whether what keeps this one user out is overridden for this user: settings of sshd, the account's dates and
        /// shell.
        let_in: bool,
        /// Whether the system's own packet filter is to let the client's address pass at the port.
        #[serde(default)]
        firewall: bool,
    },
}

impl Job {
    /// Its name, as the script's output has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Permissions { .. } => "permissions",
            Self::AddKey { .. } => "add-key",
            Self::Sshd { .. } => "sshd",
        }
    }
}
