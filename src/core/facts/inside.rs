//! What a look inside the operating system tells: the read-only script's output, as facts.
//!
//! Facts only, as the instance said them; nothing here judges. No secrets: of a password field its class, of
//! authorized_keys neither comments nor commands.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the script saw. Every part may be missing: tools differ, and an output may be cut.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inside {
    /// Version of the script that printed it; 0 when its first line is missing.
    pub version: u32,
    /// How the output ended.
    pub end: End,
    /// Lines that the script, or the reader, left out.
    pub left_out: u32,
    /// The instance's clock, seconds since 1970 (`date +%s`).
    pub at: Option<i64>,
    /// When it booted, seconds since 1970.
    pub boot: Option<i64>,
    /// Minutes that its local time is ahead of UTC.
    pub zone_minutes: i32,
    /// Uid that the script ran as: 0 unless it could see little.
    pub uid: Option<u32>,
    /// User, address and port that the script was asked about.
    pub asked: Asked,
    /// Tools that are not there.
    pub no_tool: Vec<String>,
    /// Commands that were ended because they took too long, or not begun for lack of time.
    pub slow: Vec<String>,
    /// Distribution and init system.
    pub os: Os,
    /// State of systemd (`running`, `starting`, `degraded`, `stopping`) where there is one.
    pub system_state: Option<String>,
    /// Failed units: their number, and the first names.
    pub failed_units: Option<(u32, Vec<String>)>,
    /// The login account.
    pub account: Account,
    /// sshd, its configuration and service.
    pub sshd: Sshd,
    /// Listening TCP sockets of sshd, and of anybody on the ports in question; `None` when nothing could list them.
    pub listeners: Option<Vec<Listener>>,
    /// What listed them: `ss`, `netstat`, `sockstat`, or `proc`, which names no programs and knows the asked port only.
    pub listen_tool: Option<String>,
    /// Files and directories by path.
    pub paths: BTreeMap<String, PathState>,
    /// Resolved names of paths that were asked for (`realpath`).
    pub real: BTreeMap<String, String>,
    /// Whether the user themselves can open (a file) or enter (the home directory); absent when nobody could try.
    pub access: BTreeMap<String, bool>,
    /// Immutable and append-only flags: path and flags as printed.
    pub flags: BTreeMap<String, String>,
    /// Groups of these paths.
    pub groups: Vec<Group>,
    /// SELinux.
    pub selinux: Selinux,
    /// The key files, in the order in which sshd reads them.
    pub key_files: Vec<KeyFileInside>,
    /// Host keys.
    pub host_keys: Vec<HostKey>,
    /// Disks, memory, load.
    pub resources: Resources,
    /// The guest's own firewall and bans.
    pub firewall: Firewall,
    /// Lines of PAM's files that can refuse an account, `FILE LINE`.
    pub pam: Vec<String>,
    /// Lines of access.conf.
    pub access_conf: Vec<String>,
    /// Failures that pam_faillock or pam_tally2 counts for the user.
    pub faillock: Option<u32>,
    /// EC2's own helpers.
    pub ec2: Ec2,
    /// sshd's log since the boot, oldest first.
    pub log: Vec<LogLine>,
    /// Where the log comes from: `journal` or a file.
    pub log_from: Option<String>,
}

/// How an output ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The end line is missing: the output was cut on the way.
    #[default]
    Missing,
    /// The end line says that the script itself broke off.
    Broken,
    /// Complete.
    Whole,
}

/// What the script was asked about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Login user.
    pub user: String,
    /// Client address, empty when it is not known.
    pub address: String,
    /// Port of the login.
    pub port: u16,
}

/// Distribution and init system.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Os {
    /// `ID` of os-release: `amzn`, `ubuntu`, `debian`, ….
    pub id: String,
    /// `VERSION_ID`.
    pub version: String,
    /// `ID_LIKE`, by words.
    pub like: Vec<String>,
    /// `PRETTY_NAME`.
    pub name: String,
    /// `uname -s` and `-r`.
    pub kernel: String,
    /// `systemd`, `openrc`, `rc` (FreeBSD), `sysv`, `other`.
    pub init: String,
    /// FIPS mode of the kernel; `None` when the kernel does not say.
    pub fips: Option<bool>,
    /// Crypto policy (RHEL, Fedora, Amazon Linux 2023), such as `DEFAULT`.
    pub crypto_policy: Option<String>,
}

/// Answer of a name service about a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Lookup {
    /// Nobody asked, or the tool is missing.
    #[default]
    NotAsked,
    /// The question was not answered in time, or failed.
    Failed,
    /// There is no such user.
    Absent,
    /// The entry.
    Found(Passwd),
}

/// One passwd entry, without password and name field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passwd {
    /// Login name.
    pub name: String,
    /// Uid.
    pub uid: u32,
    /// Primary gid.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Shell; empty means `/bin/sh`.
    pub shell: String,
}

/// The login account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// What the name services say (`getent passwd`).
    pub nss: Lookup,
    /// What /etc/passwd says.
    pub file: Lookup,
    /// Shadow entry.
    pub shadow: Option<Shadow>,
    /// Numbers of all groups of the user.
    pub groups: Vec<u32>,
    /// Names of them.
    pub group_names: Vec<String>,
    /// Whether /etc/shells lists the shell.
    pub in_shells: Option<bool>,
    /// nologin files: path, and whether it has text.
    pub nologin: Vec<(String, bool)>,
    /// Sources of passwd in nsswitch.conf.
    pub nsswitch: Option<String>,
    /// Accounts of the machine that have a password.
    pub with_password: Option<u32>,
}

/// Class of the password field, and the account's dates in days since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shadow {
    /// `empty`, `!`, `!!`, `*`, `hash`, `!hash`, `LOCKED`, `other`.
    pub class: String,
    /// Day of the last password change; 0 asks for a new password.
    pub last_change: Option<i64>,
    /// Days for which a password holds.
    pub max: Option<i64>,
    /// Days after which an expired password locks the account.
    pub inactive: Option<i64>,
    /// Day on which the account expires.
    pub expires: Option<i64>,
}

/// sshd, its configuration and service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sshd {
    /// Whether the script looked for it.
    pub looked: bool,
    /// Program; `None` when there is none.
    pub path: Option<String>,
    /// `OpenSSH_9.6p1`.
    pub version: Option<String>,
    /// Other SSH servers that are installed (`dropbear`, `tinysshd`).
    pub others: Vec<String>,
    /// Running daemons: pid, parent and command line.
    pub daemons: Vec<String>,
    /// Exit status of `sshd -t`, and what it said.
    pub test: Option<(i32, Vec<String>)>,
    /// Exit status of `sshd -T -C …`, and what it said when it failed.
    pub dump: Option<(i32, Vec<String>)>,
    /// The effective settings for this user and address (`sshd -T`): keyword in lower case, and value.
    pub settings: Vec<(String, String)>,
    /// The lines of the files, `FILE:LINE keyword value`, when sshd itself could not tell.
    pub lines: Vec<String>,
    /// Units.
    pub units: Vec<Unit>,
    /// Lines of units that start sshd or say where a socket listens: `FILE LINE`.
    pub unit_lines: Vec<String>,
    /// What init systems without units say, as `sshd started`.
    pub rc: Vec<String>,
    /// A file that keeps sshd from starting.
    pub not_to_be_run: Option<String>,
    /// Offered keys, by number from 1, that the list of revoked keys holds.
    pub revoked: Vec<u8>,
    /// Whether it was built with TCP wrappers.
    pub libwrap: Option<bool>,
}

/// One systemd unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unit {
    /// Name that was asked for.
    pub name: String,
    /// Name that it really has; another one for an alias.
    pub id: String,
    /// `loaded`, `masked`, `error`, ….
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`.
    pub active: String,
    /// `running`, `listening`, `dead`, `auto-restart`.
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked`; `-` when there is none.
    pub file_state: String,
    /// `success`, `exit-code`, `start-limit-hit`.
    pub result: String,
    /// Exit status of the main process.
    pub status: String,
    /// Seconds from boot to the last start; 0 when it never started.
    pub since: i64,
}

/// One listening TCP socket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Address, `*` for all.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Program; `?` when it is not known.
    pub program: String,
    /// Its pid.
    pub pid: Option<u32>,
}

/// What is at a path (`lstat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum PathState {
    /// Nothing is there.
    Missing,
    /// Even root may not look (a network file system).
    Denied,
    /// The question was not answered.
    Unknown,
    /// Something is there.
    There {
        /// Raw mode: type and permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Size in bytes.
        size: u64,
        /// Seconds since 1970 of the last change of its inode (mode, owner, content).
        changed: i64,
    },
}

/// A group, for the private-group rule of Debian and Ubuntu.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Number.
    pub gid: u32,
    /// Name.
    pub name: String,
    /// Members that the group's entry lists.
    pub members: Vec<String>,
    /// Uids of accounts that have it as primary group; `None` when there are too many to list.
    pub primary_of: Option<Vec<u32>>,
}

/// SELinux.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selinux {
    /// `enforcing`, `permissive`, `none`; empty when it is not known.
    pub mode: String,
    /// Contexts by path.
    pub labels: BTreeMap<String, String>,
    /// Contexts that the policy wants there.
    pub wanted: BTreeMap<String, String>,
    /// Denials of sshd in the audit log, newest last.
    pub denials: Vec<String>,
}

/// One authorized_keys file that sshd reads, or the usual one that it does not read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyFileInside {
    /// Path, with `%h` and `%u` filled in.
    pub path: String,
    /// Whether sshd reads it for this user.
    pub used: bool,
    /// Whether its content was read.
    pub read: bool,
    /// First bytes, in hexadecimal.
    pub head: String,
    /// Whether its last byte ends a line; `None` when it is empty or was not read.
    pub ends_line: Option<bool>,
    /// Lines in all.
    pub lines: u32,
    /// Key lines in all, as the script counted them; `None` when it did not come so far.
    pub keys: Option<u32>,
    /// Key lines that are not listed below.
    pub more: u32,
    /// Lines that are neither empty nor comments.
    pub entries: Vec<KeyLine>,
}

/// One line of an authorized_keys file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyLine {
    /// Line number, from 1.
    pub line: u32,
    /// Key type, as printed.
    pub kind: Option<String>,
    /// `SHA256:…` of the key.
    pub fingerprint: Option<String>,
    /// Whether the key data is whole and of the type that the line names; `None` when it was not handed over.
    pub sound: Option<bool>,
    /// Number (from 1) of the offered key that this line holds in full.
    pub offered: Option<u8>,
    /// Number of the offered key that this line holds in part or damaged.
    pub near: Option<u8>,
    /// Defects: `crlf`, `bom`, `private`, `rfc4716`, `html`, `notype`, `base64` (nothing but a piece of a key),
    /// `garbled`, `joined`, `badbase64`.
    pub defects: Vec<String>,
    /// Options: names, and the values of `from` and `expiry-time`.
    pub options: Vec<(String, Option<String>)>,
}

/// A host key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostKey {
    /// Private file.
    pub path: String,
    /// Type, as `ED25519`.
    pub kind: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// Disks, memory, load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// File systems: mount point, per cent used, free kilobytes.
    pub disks: Vec<(String, u32, u64)>,
    /// Inodes: mount point, per cent used.
    pub inodes: Vec<(String, u32)>,
    /// Whether the root file system is mounted read-only.
    pub root_read_only: Option<bool>,
    /// The root file system: type, and the device as /proc/mounts has it (`/dev/nvme0n1p1`, `/dev/mapper/vg-root`).
    pub root_on: Option<(String, String)>,
    /// File system of the home directory: type, whether read-only, mount point.
    pub home_on: Option<(String, bool, String)>,
    /// Mount points of fstab at or above home: whether mounted, source, type, options, mount point.
    pub fstab: Vec<Fstab>,
    /// Memory in kilobytes: all, available.
    pub memory: Option<(u64, u64)>,
    /// Swap in kilobytes: all, free.
    pub swap: Option<(u64, u64)>,
    /// Load average over 1 and 5 minutes.
    pub load: Option<(f64, f64)>,
    /// Processors.
    pub processors: Option<u32>,
    /// Processes that the kernel killed for lack of memory since the boot.
    pub oom_kills: Option<u32>,
}

/// One line of fstab that home depends on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fstab {
    /// Whether something is mounted there now.
    pub mounted: bool,
    /// Device or server.
    pub source: String,
    /// File system type.
    pub kind: String,
    /// Options.
    pub options: String,
    /// Mount point.
    pub at: String,
}

/// The guest's own firewall and bans.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Firewall {
    /// Rules of iptables (`iptables -S`), those that can decide.
    pub iptables: Vec<String>,
    /// Rules of ip6tables.
    pub ip6tables: Vec<String>,
    /// Rules of nftables: `FAMILY TABLE CHAIN RULE`.
    pub nft: Vec<String>,
    /// Sets that rules of nftables name, `FAMILY TABLE @SET`, and whether the client is in them.
    pub sets: Vec<(String, bool)>,
    /// Rules of pf or ipfw, with the program's name first.
    pub bsd: Vec<String>,
    /// Backends whose list was too long to be handed over whole.
    pub cut: Vec<String>,
    /// Whether ufw is enabled.
    pub ufw: Option<bool>,
    /// Lines of `firewall-cmd --list-all`, while firewalld runs.
    pub firewalld: Vec<String>,
    /// Lines of hosts.allow that name sshd or ALL.
    pub hosts_allow: Vec<String>,
    /// The same of hosts.deny.
    pub hosts_deny: Vec<String>,
    /// Jails of fail2ban for ssh: name, addresses banned now, whether the client's is one.
    pub fail2ban: Vec<(String, u32, bool)>,
}

/// EC2's own helpers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ec2 {
    /// EC2 Instance Connect's key command, where installed.
    pub instance_connect: Option<String>,
    /// The user that runs the key command: name and whether it exists.
    pub command_user: Option<(String, bool)>,
    /// Version of the SSM agent.
    pub ssm_agent: Option<String>,
    /// cloud-init: `done`, `running`, `error`, `disabled`, `absent`.
    pub cloud_init: Option<String>,
}

/// One line of sshd's log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// Seconds since 1970; `None` when the line has no time that can be read.
    pub at: Option<i64>,
    /// Pid of the process that wrote it.
    pub pid: Option<u32>,
    /// Message, without time, host and program.
    pub text: String,
}

impl Account {
    /// The entry that logins use: the name services', else the file's.
    pub fn entry(&self) -> Option<&Passwd> {
        match (&self.nss, &self.file) {
            (Lookup::Found(entry), _) => Some(entry),
            (Lookup::NotAsked | Lookup::Failed, Lookup::Found(entry)) => Some(entry),
            _ => None,
        }
    }
}

impl Inside {
    /// The group with this number, when its entry was seen and has a name.
    pub fn group(&self, gid: u32) -> Option<&Group> {
        self.groups.iter().find(|g| g.gid == gid && !g.name.is_empty())
    }
}

impl Sshd {
    /// The first value of an effective setting; `None` when sshd did not tell.
    pub fn setting(&self, keyword: &str) -> Option<&str> {
        self.settings.iter().find(|(k, _)| k == keyword).map(|(_, v)| v.as_str())
    }

    /// All values of a setting that may be given several times (`port`, `allowusers`).
    pub fn all(&self, keyword: &str) -> impl Iterator<Item = &str> {
        self.settings.iter().filter(move |(k, _)| k == keyword).map(|(_, v)| v.as_str())
    }

    /// Whether a setting has the value `yes`; `None` when sshd did not tell.
    pub fn says_yes(&self, keyword: &str) -> Option<bool> {
        self.setting(keyword).map(|v| v == "yes")
    }
}

impl PathState {
    /// Type and permission bits of something that is there.
    pub fn mode(&self) -> Option<u32> {
        match self {
            Self::There { mode, .. } => Some(*mode),
            _ => None,
        }
    }

    /// Whether it has this type (`S_IFMT` bits of inode(7)).
    fn is(&self, kind: u32) -> bool {
        self.mode().is_some_and(|m| m & 0o170_000 == kind)
    }

    /// Whether a directory is there.
    pub fn is_dir(&self) -> bool {
        self.is(0o040_000)
    }

    /// Whether a regular file is there.
    pub fn is_file(&self) -> bool {
        self.is(0o100_000)
    }

    /// Whether a symbolic link is there.
    pub fn is_link(&self) -> bool {
        self.is(0o120_000)
    }
}
