//! A machine of the practice account: what EC2 knows of it, and what runs on it. Plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Instant, SystemTime};

use crate::lab::keys::Pair;
use crate::lab::mend::Record;
use crate::lab::scenario::{Agent, Daemon, KeyFile, MachineSpec, Mend, OsSpec, SshdSpec};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab) enum State {
    Pending(Instant),
    Running,
    Stopping(Instant),
    Stopped,
    Terminated,
}

impl State {
    /// The code and name of the API.
    pub fn words(self) -> (u32, &'static str) {
        match self {
            Self::Pending(_) => (0, "pending"),
            Self::Running => (16, "running"),
            Self::Stopping(_) => (64, "stopping"),
            Self::Stopped => (80, "stopped"),
            Self::Terminated => (48, "terminated"),
        }
    }
}

pub(in crate::lab) struct Instance {
    pub id: String,
    pub name: String,
    pub image: String,
    pub key: Option<String>,
    pub subnet: String,
    pub vpc: String,
    pub groups: Vec<String>,
    pub private: Ipv4Addr,
    pub public: Option<Ipv4Addr>,
    /// A public address is given at each start.
    pub auto_public: bool,
    pub state: State,
    pub launched: SystemTime,
    pub first_launched: SystemTime,
    /// Until then the operating system is starting and nothing answers.
    pub booting: Option<Instant>,
    /// Until then the status checks say "initializing".
    pub initializing: Option<Instant>,
    pub state_reason: Option<(String, String)>,
    pub reservation: String,
    pub interface: String,
    pub volume: String,
    /// The root volume is deleted with the instance.
    pub delete_root: bool,
    /// Token of the call that launched it; empty for the story's own.
    pub client_token: String,
    /// A second interface.
    pub second: Option<Face>,
    /// The user's address as this host sees it.
    pub client: Ipv4Addr,
    /// The user's own network lets no packet out to it.
    pub walled: bool,
    /// What EC2 shows of the machine. It is the file's own word, changed by the API.
    pub machine: MachineSpec,
    /// The name of its instance profile and role.
    pub role: Option<String>,
    pub root: Root,
    pub sshd: SshdSpec,
    pub os: OsSpec,
    /// The mode of the directory above the home directory.
    pub parent_mode: u32,
    /// The default user has a password.
    pub password: bool,
    pub users: Vec<User>,
    /// Keys pushed by EC2 Instance Connect: user, key as SSH sends it, and until when.
    pub pushed: Vec<(String, Vec<u8>, Instant)>,
    pub host_key: Pair,
    /// What repairs left in /var/lib/port22, by token.
    pub records: BTreeMap<String, Record>,
    pub console: String,
    /// Marks that repairs by user data have left, so that they run once.
    pub marks: BTreeSet<String>,
    /// What a good boot prints.
    pub good_console: String,
}

/// An interface besides the primary one.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Face {
    pub id: String,
    pub subnet: String,
    pub groups: Vec<String>,
    pub private: Ipv4Addr,
    pub public: Option<Ipv4Addr>,
}

/// Where a root volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab) enum Root {
    Attached,
    Detached,
    /// At another instance, or under another name: instance and device name.
    At(String, String),
}

/// A login account inside a host.
#[derive(Clone, Debug)]
pub(in crate::lab) struct User {
    pub name: String,
    pub uid: u32,
    pub home: Node,
    pub ssh: Node,
    pub file: Node,
    /// Keys in authorized_keys, as SSH sends them.
    pub keys: Vec<Vec<u8>>,
    /// Keys that were added since, each on a clean line of its own in the file that sshd reads.
    pub added: Vec<Vec<u8>>,
    /// Options in front of each key.
    pub options: String,
    pub form: KeyFile,
    /// The text of a forced command that only tells the right user name.
    pub only_told: Option<String>,
}

/// Owner and mode of a file or directory inside a host. Its group is the owner's own.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Node {
    pub owner: String,
    pub mode: u32,
}

impl Instance {
    /// What a boot puts right: an overloaded host has its time back, a broken one stays broken.
    /// `moved` is true if the machine has changed its host.
    pub fn freshen(&mut self, moved: bool) {
        if matches!(self.sshd.daemon, Daemon::Silent | Daemon::Closed) && self.machine.mended_by == Mend::Nothing {
            self.sshd.daemon = Daemon::Up;
        }
        if self.machine.mended_by == Mend::Reboot || (moved && self.machine.mended_by == Mend::StopStart) {
            self.machine.mended_by = Mend::Nothing;
            self.sshd.daemon = Daemon::Up;
            self.machine.impaired.clear();
            self.console.clone_from(&self.good_console);
            if self.machine.agent == Agent::Stopped {
                self.machine.agent = Agent::Running;
            }
        }
        if moved {
            self.machine.event.clear();
        }
    }

    /// Prints a line on the serial port.
    pub fn mutter(&mut self, line: &str) {
        self.console.push_str("\r\n");
        self.console.push_str(line);
        self.console.push_str("\r\n");
    }

    /// True if the operating system runs.
    pub fn up(&self) -> bool {
        self.state == State::Running && self.booting.is_none()
    }

    /// The instance type.
    pub fn kind(&self) -> &str {
        &self.machine.kind
    }

    /// True for types that run on CPU credits.
    pub fn burstable(&self) -> bool {
        ["t2.", "t3.", "t3a.", "t4g."].iter().any(|start| self.machine.kind.starts_with(start))
    }
}
