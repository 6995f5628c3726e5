//! The part of a look that is about sshd: who listens, its settings, its unit, its log.

use super::Host;
use crate::lab::scenario::{Daemon, HostKeys, Unit};

/// The process id of the listener.
const PID: u32 = 1871;

/// The directory for privilege separation.
pub(super) fn privsep(host: &Host<'_>) -> &'static str {
    if host.debian() { "/run/sshd" } else { "/usr/share/empty.sshd" }
}

fn runs(host: &Host<'_>) -> bool {
    let os = &host.instance.os;
    os.unit == Unit::Active
        && os.port_taken_by.is_none()
        && !matches!(host.instance.sshd.daemon, Daemon::Down | Daemon::Http)
        || (os.unit == Unit::Active && os.firewall.is_some())
}

fn unit(host: &Host<'_>) -> &'static str {
    if host.debian() { "ssh.service" } else { "sshd.service" }
}

/// Units that have failed.
pub(super) fn failed(host: &Host<'_>) -> Vec<&'static str> {
    let os = &host.instance.os;
    let mut all = Vec::new();
    if os.unit == Unit::Failed {
        all.push(unit(host));
    }
    if os.home_unmounted {
        all.push("home.mount");
    }
    all
}

pub(super) fn listeners(host: &Host<'_>, out: &mut Vec<String>) {
    let os = &host.instance.os;
    let port = host.instance.sshd.port.unwrap_or(host.world.ssh_port);
    if let Some(other) = &os.port_taken_by {
        out.push(format!("listen 0.0.0.0 {} {other} 2101", host.world.ssh_port));
        out.push(format!("listen :: {} {other} 2107", host.world.ssh_port));
    }
    if runs(host) {
        out.push(format!("listen 0.0.0.0 {port} sshd {PID}"));
        out.push(format!("listen :: {port} sshd {PID}"));
    }
    out.push("listen.tool ss".to_owned());
    if runs(host) {
        out.push(format!("daemon {PID} 1 sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"));
    }
    if os.unit == Unit::Absent {
        out.push("sshd.path -".to_owned());
        return;
    }
    out.push("sshd.path /usr/sbin/sshd".to_owned());
    let banner = host.world.image_of(host.instance).map_or("OpenSSH_8.7", |image| image.spec.banner.as_str());
    out.push(format!("sshd.version {}", banner.split(' ').next().unwrap_or(banner)));
}

/// What `sshd -t` complains of, and its exit status.
fn complaint(host: &Host<'_>) -> Option<(Vec<String>, u8)> {
    let os = &host.instance.os;
    if let Some(text) = &os.config_error {
        return Some((text.lines().map(str::to_owned).collect(), 255));
    }
    if os.no_privsep {
        return Some((vec![format!("Missing privilege separation directory: {}", privsep(host))], 255));
    }
    let none = "sshd: no hostkeys available -- exiting.".to_owned();
    match os.host_keys {
        HostKeys::Good => None,
        HostKeys::Missing => Some((vec![none], 1)),
        HostKeys::Open => {
            let key = "/etc/ssh/ssh_host_ed25519_key";
            let line = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@".to_owned();
            let says = [
                line.clone(),
                "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @".to_owned(),
                line,
                format!("Permissions 0666 for '{key}' are too open."),
                "It is required that your private key files are NOT accessible by others.".to_owned(),
                "This private key will be ignored.".to_owned(),
                format!("Unable to load host key \"{key}\": bad permissions"),
                none,
            ];
            Some((says.to_vec(), 1))
        }
    }
}

/// True if sshd can print its settings.
pub(super) fn speaks(host: &Host<'_>) -> bool {
    host.instance.os.unit != Unit::Absent && complaint(host).is_none()
}

pub(super) fn settings(host: &Host<'_>, out: &mut Vec<String>) {
    let os = &host.instance.os;
    if os.unit != Unit::Absent {
        if let Some((says, status)) = complaint(host) {
            out.push(format!("sshd.test {status}"));
            out.extend(says.iter().map(|line| format!("sshd.says {line}")));
            out.push(format!("sshd.T {status}"));
            out.extend(says.iter().take(4).map(|line| format!("sshd.Tsays {line}")));
        } else {
            out.push("sshd.test 0".to_owned());
            out.push("sshd.T 0".to_owned());
            out.extend(effective(host).iter().map(|(name, value)| format!("T {name} {value}")));
        }
    }
    units(host, out);
}

/// `sshd -T`, for this user and address.
fn effective(host: &Host<'_>) -> Vec<(String, String)> {
    let (sshd, os) = (&host.instance.sshd, &host.instance.os);
    let yes = |on: bool| if on { "yes" } else { "no" }.to_owned();
    let port = sshd.port.unwrap_or(host.world.ssh_port);
    let files = if host.debian() { ".ssh/authorized_keys .ssh/authorized_keys2" } else { ".ssh/authorized_keys" };
    let accepted = if sshd.fips {
        "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"
    } else {
        "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"
    };
    let mut all: Vec<(String, String)> = [
        ("port", port.to_string()),
        ("addressfamily", "any".to_owned()),
        ("listenaddress", format!("[::]:{port}")),
        ("listenaddress", format!("0.0.0.0:{port}")),
        ("usepam", yes(sshd.use_pam)),
        ("logingracetime", "120".to_owned()),
        ("maxauthtries", sshd.max_auth_tries.to_string()),
        ("maxsessions", "10".to_owned()),
        ("permitrootlogin", if sshd.permit_root { "without-password" } else { "no" }.to_owned()),
        ("pubkeyauthentication", yes(sshd.pubkey)),
        ("passwordauthentication", "no".to_owned()),
        ("kbdinteractiveauthentication", "no".to_owned()),
        ("strictmodes", yes(sshd.strict_modes)),
        ("usedns", "no".to_owned()),
        ("permittty", "yes".to_owned()),
        ("forcecommand", "none".to_owned()),
        ("chrootdirectory", "none".to_owned()),
        ("trustedusercakeys", "none".to_owned()),
        ("revokedkeys", "none".to_owned()),
        ("authorizedkeyscommand", helper(host).map_or("none".to_owned(), |path| format!("{path} %u %f"))),
        ("authorizedkeyscommanduser", if helper(host).is_some() { "ec2-instance-connect" } else { "none" }.to_owned()),
        ("requiredrsasize", "1024".to_owned()),
        ("pubkeyacceptedalgorithms", accepted.to_owned()),
        ("loglevel", "INFO".to_owned()),
        ("authorizedkeysfile", sshd.authorized_keys_file.clone().unwrap_or_else(|| files.to_owned())),
        ("hostkey", "/etc/ssh/ssh_host_ed25519_key".to_owned()),
        ("authenticationmethods", "any".to_owned()),
        ("maxstartups", "10:30:100".to_owned()),
        ("persourcemaxstartups", "none".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    all.extend(sshd.allow_users.iter().map(|user| ("allowusers".to_owned(), user.clone())));
    all.extend(sshd.deny_users.iter().map(|user| ("denyusers".to_owned(), user.clone())));
    for line in &os.settings {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        all.retain(|(known, _)| known != name);
        all.push((name.to_owned(), value.to_owned()));
    }
    all
}

/// The program of EC2 Instance Connect, where the image has it.
pub(super) fn helper(host: &Host<'_>) -> Option<&'static str> {
    if !host.instance.os.instance_connect {
        return None;
    }
    match host.family {
        "ubuntu" => Some("/usr/share/ec2-instance-connect/eic_run_authorized_keys"),
        "al2023" => Some("/opt/aws/bin/eic_run_authorized_keys"),
        _ => None,
    }
}

fn units(host: &Host<'_>, out: &mut Vec<String>) {
    let name = unit(host);
    let status = complaint(host).map_or(255, |(_, status)| status);
    let state = match host.instance.os.unit {
        Unit::Active => "loaded active running enabled success 0 12",
        Unit::Inactive => "loaded inactive dead enabled success 0 0",
        Unit::Failed => {
            out.push(format!("unit {name} loaded failed failed enabled exit-code {status} 0 {name}"));
            return;
        }
        Unit::Disabled => "loaded inactive dead disabled success 0 0",
        Unit::Masked => "masked inactive dead masked success 0 0",
        Unit::Absent => return,
    };
    out.push(format!("unit {name} {state} {name}"));
    out.push(format!("unit.line /usr/lib/systemd/system/{name} ExecStart=/usr/sbin/sshd -D"));
}

pub(super) fn log(host: &Host<'_>, out: &mut Vec<String>) {
    out.push("log.from journal".to_owned());
    let lines = &host.instance.os.log;
    for (number, line) in lines.iter().enumerate() {
        let at = host.now.saturating_sub(((lines.len() - number) * 20) as u64);
        let line = line
            .replace("@USER@", &host.asked.user)
            .replace("@ADDR@", &host.instance.client.to_string())
            .replace("@PORT@", &host.world.ssh_port.to_string());
        out.push(format!("log {at}.204117 {} sshd[{}]: {line}", host.host_name(), 2210 + number));
    }
}
