//! What a scenario file says about the operating system of a host: what a look inside shows.
//!
//! Must hold no behaviour. What sshd makes of it is decided in `sshd`, what a look shows in `inside`.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::lab) struct OsSpec {
    /// The user's login shell.
    pub shell: String,
    /// It is in the account, but there is no such file.
    pub shell_missing: bool,
    /// The password field begins with `!`.
    pub locked: bool,
    pub expired: bool,
    /// The password must be changed at the next login.
    pub change_password: bool,
    pub nologin: bool,
    /// The SELinux type of authorized_keys, on a host that enforces.
    pub selinux: Option<String>,
    /// authorized_keys has the immutable flag.
    pub immutable: bool,
    /// The file system of the home directory is in fstab and not mounted.
    pub home_unmounted: bool,
    /// What `sshd -t` complains of.
    pub config_error: Option<String>,
    pub host_keys: HostKeys,
    /// The directory for privilege separation is gone.
    pub no_privsep: bool,
    /// Another program has the SSH port.
    pub port_taken_by: Option<String>,
    pub unit: Unit,
    pub firewall: Option<Firewall>,
    pub hosts_deny: bool,
    /// fail2ban holds the user's address.
    pub banned: bool,
    /// Lines of sshd's log, without time and process.
    pub log: Vec<String>,
    /// Percent of the root file system in use.
    pub disk: u8,
    /// Megabytes of memory that are free, of 945.
    pub memory: u32,
    pub load: f32,
    /// Processes that the kernel killed for want of memory.
    pub oom: u32,
    /// Lines of the PAM stack of sshd beyond the usual ones.
    pub pam: Vec<String>,
    /// Lines of access.conf.
    pub access: Vec<String>,
    /// `keyword value` as `sshd -T` prints it, instead of the usual value.
    pub settings: Vec<String>,
    /// The helper of EC2 Instance Connect is there and works.
    pub instance_connect: bool,
    /// It is there, and its user is gone.
    pub broken_helper: bool,
    pub cloud_init_error: bool,
}

impl Default for OsSpec {
    fn default() -> Self {
        Self {
            shell: "/bin/bash".to_owned(),
            shell_missing: false,
            locked: false,
            expired: false,
            change_password: false,
            nologin: false,
            selinux: None,
            immutable: false,
            home_unmounted: false,
            config_error: None,
            host_keys: HostKeys::Good,
            no_privsep: false,
            port_taken_by: None,
            unit: Unit::Active,
            firewall: None,
            hosts_deny: false,
            banned: false,
            log: Vec::new(),
            disk: 31,
            memory: 540,
            load: 0.02,
            oom: 0,
            pam: Vec::new(),
            access: Vec::new(),
            settings: Vec::new(),
            instance_connect: true,
            broken_helper: false,
            cloud_init_error: false,
        }
    }
}

/// The host's own keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum HostKeys {
    #[default]
    Good,
    Missing,
    /// Others may read them.
    Open,
}

/// The service of sshd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum Unit {
    #[default]
    Active,
    /// Stopped, and started again at the next boot.
    Inactive,
    Failed,
    Disabled,
    Masked,
    /// Not installed.
    Absent,
}

/// What the guest's own packet filter does with the SSH port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum Firewall {
    Drop,
    /// With a reset.
    Reject,
}
